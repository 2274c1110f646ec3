"""The verbs under test, within this process."""

from __future__ import annotations

from functools import partial

import pytest


@pytest.fixture
def opal(verb):
    """``opal(*arguments) -> (exit code, stdout, stderr)`` of a run."""
    return partial(verb, "run")


@pytest.fixture
def augment(verb):
    """``augment(*arguments) -> (exit code, stdout, stderr)``."""
    return partial(verb, "augment")
