"""A run with every check on (probe, curation that asks again, folds of its own) is repeated from its record."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_server import FakeLLM
from trials import SMALL_FOREST

import opal.reproduce
import opal.run


@pytest.fixture
def verb(tmp_path, monkeypatch, capsys):
    """``verb(module, *arguments) -> (exit code, all it said)`` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(module, *arguments: str) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["opal", *arguments])
        code: object = 0
        try:
            module.main()
        except SystemExit as stop:
            code = stop.code
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def answer(body):
    """Rows near the class's own, some of them twice, so that ``dedup`` leaves rows out."""
    rng = np.random.default_rng(body["seed"])
    rows = [f"y is 0, a is {x:.1f}, b is {y:.1f}." for x, y in rng.normal(1.2, 0.4, size=(4, 2))]
    return "\n".join([*rows, rows[0]])


@pytest.mark.slow
def test_every_check_is_repeated_without_the_model(verb):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(160, 2)).round(1)
    pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": (x.sum(axis=1) < 0.9).astype(int)}).to_csv("table.csv", index=False)
    options = ["data=csv", "data.path=table.csv", "data.target=y", "seeds=[1,2]", "amounts.steps=2", "amounts.size=6"]
    options += ["task.train_rows=40", "task.minority_share=0.25", "task.test_rows=60", "task.augment=true"]
    options += ["method=llm", "prompt=paper", "prompt.rows_per_request=5", "llm=openai_compatible", "llm.model=fake"]
    options += ["llm.supports={seed: true}", "method.reject_repeats=false", "curate=dedup", "validation.folds=2"]
    options += ["validation.remake=always", "contamination_probe=true", "show=published", SMALL_FOREST]
    with FakeLLM(answer=answer) as fake:
        code, said = verb(opal.run, *options, f"llm.base_url={fake.url}")
        assert code == 0, said
        asked = len(fake.requests)
    assert asked > 10
    assert "Asked to continue the table's first rows" in said and "Amounts chosen by balanced error" in said
    (record,) = Path("mlruns").rglob("memory.csv")
    kept = {p.name for p in (record.parent / "prompts").iterdir()}
    assert kept == {"seed_1.jsonl", "seed_2.jsonl", "validation.jsonl", "memory.jsonl"}
    assert (record.parent / "figures" / "fidelity.png").is_file()
    name = said.rsplit("recorded as ", 1)[1].split()[0].rpartition("-")[2]
    code, said = verb(opal.reproduce, name)  # the fake is gone
    assert code == 0 and "all equal" in said, said
