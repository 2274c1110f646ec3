"""Every example in docs/ does what the page says."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

PAGES = [p for p in sorted((Path(__file__).resolve().parents[1] / "docs").glob("*.md")) if ">>> " in p.read_text()]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_examples_hold(page: Path) -> None:
    found = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert found.attempted and not found.failed
