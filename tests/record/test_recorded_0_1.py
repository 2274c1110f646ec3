"""Runs that version 0.1 recorded are still reproduced: records outlive every refactoring."""

from __future__ import annotations

from pathlib import Path

import pytest

RECORDED = Path(__file__).with_name("recorded_0_1")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(folder.name, marks=[] if folder.name == "llm" else [pytest.mark.slow])
        for folder in sorted(RECORDED.iterdir())
    ],
)
def test_a_run_of_0_1_has_equal_figures(name, verb):
    code, out, err = verb("reproduce", str(RECORDED / name))
    assert code == 0, out + err
    assert "Reproduced: all equal." in out
    assert "version of the config hash" in out, "a new rule for hashes is named, and has no effect"
