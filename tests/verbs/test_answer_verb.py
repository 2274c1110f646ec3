"""A sweep ends in an answer, which heads its run in MLflow and which opal answer prints from the store."""

from __future__ import annotations

import re
from dataclasses import replace
from html import escape
from pathlib import Path

import pandas as pd
import pytest
from trials import SMALL_FOREST, artifacts, runs

QUICK = ["seeds=[1,2]", "amounts.steps=1", "task.test_rows=60", "figures=false", "fidelity=false", SMALL_FOREST]


def table_of(text: str) -> list[str]:
    """The actions of the printed table."""
    return re.findall(r"^│ (\S.*?) +│", text, re.MULTILINE)


@pytest.mark.slow
def test_a_sweep_ends_in_one_answer_per_table_and_classifier(verb):
    code, out, err = verb("run", "-m", "method=smote,duplicate", "data=craft,iris", *QUICK)
    assert code == 0, err
    assert len(re.findall(r"^Recommended for (craft|iris) with logistic: ", out, re.MULTILINE)) == 2
    assert {"nothing", "class weight", "tuned threshold"} < set(table_of(out))
    assert "Row 0:" not in out
    (sweep,) = runs("sweep")
    assert sweep.data.tags["mlflow.note.content"].startswith("Recommended for craft with logistic: ")
    written = (artifacts(sweep) / "answer.md").read_text()
    assert written.count("| action |") == 2
    listed = pd.read_csv(artifacts(sweep) / "answer.csv")
    assert set(listed["data"]) == {"craft", "iris"} and {"validation", "balanced_error", "rows"} <= set(listed)
    code, again, err = verb("answer")
    assert code == 0, err
    assert table_of(again) == table_of(out)
    code, again, err = verb("answer", sweep.data.tags["opal.sweep_id"])
    assert code == 0 and table_of(again) == table_of(out)
    code, compared, err = verb("compare", "--html", "page.html")
    assert code == 0, err
    first = [
        " ".join(text.split()) for text in re.findall(r"^Recommended for .*?over", compared, re.MULTILINE | re.DOTALL)
    ]
    assert sorted(first) == sorted(re.findall(r"^Recommended for .*?over", out, re.MULTILINE)), "the same answer"
    page = Path("page.html").read_text()
    assert page.count('class="answer"') == 2 and page.index('class="answer"') < page.index("Findings")


@pytest.mark.slow
def test_runs_that_differ_in_their_seeds_are_one_answer_and_of_no_common_seed_none(verb):
    code, out, err = verb("run", "-m", "method=duplicate", "data=craft", *QUICK[1:], "seeds=[1],[2]")
    assert code == 0 and "over 2 seeds" in out and out.count("Recommended for") == 1, err
    assert not any("#" in action for action in table_of(out))
    code, out, err = verb("run", "-m", "method=duplicate", *QUICK[1:], "data=craft", "seeds=[3]", "amounts.size=5,6")
    assert code == 0 and sum("duplicate #" in action for action in table_of(out)) == 2, out + err


@pytest.mark.slow
def test_a_single_run_answers_too_and_the_published_form_is_one_key_away(verb):
    code, out, err = verb("run", "method=smote", "data=craft", *QUICK)
    assert code == 0 and "Recommended for craft with logistic: " in out and "Row 0:" not in out, err
    code, out, err = verb("run", "method=smote", "data=craft", *QUICK, "show=published", "tracking.existing=rerun")
    assert code == 0 and "Row 0:" in out and "Recommended" not in out
    code, out, err = verb("run", "method=none", "data=craft", *QUICK)  # the free controls alone
    assert code == 0 and "Recommended" in out and not any(", " in action for action in table_of(out))


def test_what_cannot_be_answered_is_said_in_one_sentence(verb):
    code, _, err = verb("answer")
    assert code == 2 and err.startswith("opal: there is no finished run") and err.count("\n") == 1
    verb("run", "method=smote", "data=craft", *QUICK, "validation.folds=0")
    code, _, err = verb("answer")
    assert code == 2 and "validation.folds=2" in err and err.count("\n") == 1
    code, _, err = verb("answer", "no-such-sweep")
    assert code == 2 and "no-such-sweep" in err


def test_the_command_of_a_recommended_method_makes_the_table():
    from opal.evaluate.actions import Action, Measured
    from opal.evaluate.answer import answer
    from opal.report.answer import RECIPES, how

    rows = [(s, 0, f"{p}{m}", 0.3) for s in (1, 2) for p in ("", "validation_") for m in ("error", "balanced_error")]
    rows += [(s, 9, f"{p}{m}", 0.1) for s in (1, 2) for p in ("", "validation_") for m in ("error", "balanced_error")]
    errors = pd.DataFrame(rows, columns=["seed", "amount", "metric", "value"])
    found = answer("mine", "logistic", [Measured("mixup", errors, table_share=3.0)])
    assert found is not None and found.recommended == Action("mixup", 9, price=3)
    typed = ["data=csv", "data.path=my table.csv", "data.target=y", "method=mixup", "task.train_rows=50"]
    assert how(replace(found, typed=typed)) == (
        "opal augment data=csv 'data.path=my table.csv' data.target=y method=mixup rows=27 output=balanced.csv"
    )
    alone = ["data=iris", "method=mixup", "method.alpha=2.0", "prompt=csv,paper", "amounts.steps=2"]
    assert how(replace(found, typed=alone, table_share=float("nan"))) == (
        "opal augment data=iris method=mixup method.alpha=2.0 output=balanced.csv"
    )
    assert how(replace(found, typed=[])) == "opal augment data=mine method=mixup rows=27 output=balanced.csv"
    moved = replace(found.recommended, moved=True)
    then = how(replace(found, recommended=moved)).partition("output=balanced.csv")[2]
    assert then == "  # then " + RECIPES["base_rate_threshold"]
    several = replace(
        found, recommended=Action("base_rate_threshold", price=1), by_class=pd.DataFrame({"nothing": [0.1]})
    )
    assert how(several) == "opal fit data=mine classifier=logistic output=model"
    assert "<pre>" not in several._repr_html_()  # a line for two classes
    alone = replace(several, by_class=pd.DataFrame())
    assert f"<pre>{escape(RECIPES['base_rate_threshold'])}</pre>" in alone._repr_html_()
