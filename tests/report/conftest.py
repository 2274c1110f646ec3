"""Fixtures of the reports' tests."""

from __future__ import annotations

import pytest
import stores


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """The runs of `stores.make`, once for all tests: nothing is written to it."""
    return stores.make(tmp_path_factory.mktemp("compare"))
