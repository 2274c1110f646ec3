"""opal look prints what is there and writes nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tables import mixed_frame
from trials import runs


@pytest.mark.slow
def test_every_column_its_traps_and_what_comes_next(verb):
    data = mixed_frame(200).assign(same=1, refused=lambda d: (d["outcome"] == "no").astype(int))
    data.to_csv("ward.csv", index=False)
    before = sorted(Path().iterdir())
    code, out, err = verb("look", "data=csv", "data.path=ward.csv", "data.target=outcome")
    assert code == 0, err
    assert out.startswith("ward: 200 rows, 8 features") and "short of rows: yes" in out
    shown = dict(re.findall(r"^│ (\S+) +│ (\S.*?) +│", out, re.MULTILINE))
    assert list(shown) == list(data.columns) and shown["outcome"] == "target" and shown["income"] == "numbers"
    assert "Trap: 'refused' alone predicts 'outcome'" in out and "Trap: 'same' has the same value in every row" in out
    assert re.search(r"A run splits it into 140 train and 60 test rows, 5 times, and makes some \d+ fits", out)
    assert out.rstrip().endswith("opal run -m method=smote,llm data=csv data.path=ward.csv data.target=outcome")
    assert [p for p in Path().iterdir() if p not in before and p.name != "mlruns"] == []
    code, _, err = verb("look", "data=csv", "data.path=ward.csv", "data.target=outcome", "score=error")
    assert code == 2 and "opal look does not use score=error" in err


@pytest.mark.slow
def test_a_run_begins_with_what_it_understood_and_its_worst_traps(verb):
    mixed_frame(200).assign(refused=lambda d: (d["outcome"] == "no").astype(int)).to_csv("ward.csv", index=False)
    quick = ["seeds=[1]", "amounts.steps=1", "figures=false", "fidelity=false", "controls=none"]
    code, _, err = verb("run", "method=duplicate", "data=csv", "data.path=ward.csv", "data.target=outcome", *quick)
    assert code == 0, err
    outlined, trapped = (line for line in err.splitlines() if line.startswith(("opal: ward:", "opal: traps:")))
    assert re.match(r"opal: ward: 200 rows, 7 features .*short of rows: yes; chosen by: balanced error$", outlined)
    assert trapped.startswith("opal: traps: 'refused' alone predicts 'outcome'")
    (run,) = runs()
    assert "'refused' alone predicts 'outcome'" in run.data.tags["mlflow.note.content"]


def test_a_published_run_says_nothing_of_the_table(verb):
    mixed_frame(200).to_csv("plain.csv", index=False)
    quick = ["seeds=[1]", "amounts.steps=1", "figures=false", "fidelity=false", "controls=none", "show=published"]
    code, _, err = verb("run", "method=duplicate", "data=csv", "data.path=plain.csv", "data.target=outcome", *quick)
    assert code == 0 and "plain: 200 rows" not in err


def test_numbers_stand_as_in_the_file_and_kinds_are_changed_as_the_hint_says(verb, tmp_path):
    rows = "".join(f"1.{100 + i},5;{i % 7};{'ja' if i % 4 == 0 else 'nein'}\n" for i in range(80))
    (tmp_path / "de.csv").write_text("gehalt;stufe;ziel\n" + rows)
    code, out, err = verb("look", "data=csv", "data.path=de.csv", "data.target=ziel", "data.kinds={stufe: categorical}")
    assert code == 0 and "1.100,5 to 1.179,5" in out, err
    assert re.search(r"stufe +│ names", out) and "'data.kinds={stufe: categorical}'" in out
