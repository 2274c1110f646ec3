"""A trial as a library call: curation, contamination, controls, and what it says where there is little to say."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from fake_server import FakeLLM, Status
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from tables import mixed_table, number_table

from opal.evaluate import controls
from opal.evaluate.classifiers import Classifier
from opal.evaluate.curate import Chain, Dedup, Filter
from opal.evaluate.curve import Amounts
from opal.evaluate.replicate import Replicates
from opal.evaluate.validate import Folds
from opal.llm.api.client import Client
from opal.llm.rows.write import lines
from opal.methods.base import Oversampler
from opal.methods.duplicate import Duplicate
from opal.methods.none import NoRows
from opal.methods.replay import Replay
from opal.methods.smote import Smote
from opal.result import Funnel, Rows, Usage
from opal.table import Table
from opal.tasks.imbalanced import Imbalanced
from opal.tasks.spurious import Spurious
from opal.trial import Trial

LOGISTIC = Classifier(partial(LogisticRegression, max_iter=500), scale=True)
TASK = Imbalanced(40, 0.2, test_rows=80)


def trial(method, table: Table | None = None, task=TASK, seeds=(1, 2), **given):
    given = {"amounts": Amounts(steps=2), "fidelity": False, "contamination": "off"} | given
    return Trial(table or number_table(400), task, method, LOGISTIC, seeds, **given).run()


class Odd(Filter):
    """Leaves out rows by a rule that looks at the rows alone."""

    reason = "odd"

    def __init__(self, keep):
        self.keep = keep

    def _keep(self, rows, train, rng):
        return self.keep(rows)


class Counted(Oversampler):
    """Asked for more, it begins with the same rows, as a language model with a store; each row is paid for once."""

    def __init__(self, most=10_000):
        self.asked, self.most, self.paid = [], most, 0

    def _sample(self, train, wanted, rng, progress):
        n = sum(wanted.values())
        self.asked.append(n)
        made, new = min(n, self.most), max(0, min(n, self.most) - self.paid)
        self.paid = max(self.paid, made)
        rows = train.rows(train.minority_groups[0])
        frame = rows.iloc[np.arange(made) % len(rows)].assign(x1=np.arange(made) / 10)
        usage = Usage(requests=made, prompt_tokens=10 * made, paid_requests=new, paid_tokens=10 * new)
        stopped = "" if made == n else "the budget is spent"
        return Rows(frame, Funnel(n, made, made, made, made), usage, stopped=stopped)


def test_curation_asks_for_more_until_there_are_enough():
    method = Counted()
    result = trial(method, seeds=(1,), curation=Odd(lambda rows: np.arange(len(rows)) % 2 == 0))
    rows = result.rows[1]
    assert len(rows.frame) == 16 and not result.stopped
    assert method.asked == [16, 36]  # half were left out: 1.1 x 16 x 16 / 8
    assert rows.funnel.as_dict() == {"requested": 36, "received": 36, "parsed": 36, "valid": 36, "kept": 16} | {
        "reject/odd": 18
    }
    assert rows.usage.requests == 36 and rows.usage.paid_requests == 36 and rows.usage.paid_tokens == 360
    assert list(result.curve().columns) == [0, 8, 16]


def test_fewer_rows_than_wanted_are_used_and_said():
    result = trial(Counted(), seeds=(1,), curation=Odd(lambda rows: np.arange(len(rows)) < 10))
    assert len(result.rows[1].frame) == 10
    assert "curation kept 10 of" in result.stopped and "where 16 were wanted" in result.stopped
    assert list(result.curve().columns) == [0, 8]


def test_a_method_that_stopped_is_not_asked_again():
    method = Counted(most=14)
    result = trial(method, seeds=(1,), curation=Odd(lambda rows: np.arange(len(rows)) >= 4))
    assert method.asked == [16]
    assert result.stopped.startswith("the budget is spent; curation kept 10 of 14")


def test_a_top_up_that_stopped_but_suffices_is_no_shortfall():
    method = Counted(most=30)
    result = trial(method, seeds=(1,), curation=Odd(lambda rows: np.arange(len(rows)) % 2 == 0))
    assert len(result.rows[1].frame) == 15 and result.stopped  # 15 of 30: one short
    method = Counted(most=32)
    assert not trial(method, seeds=(1,), curation=Odd(lambda rows: np.arange(len(rows)) % 2 == 0)).stopped


def test_curated_prefixes_stay_balanced_over_the_groups():
    task = Spurious(12, 4, test_rows=80)
    result = trial(Duplicate(), task=task, curation=Odd(lambda rows: (rows["label"] == 1) | (rows.index % 3 == 0)))
    for seed, rows in result.rows.items():
        members = np.array([g.mask(rows.frame) for g in task.split(number_table(400), seed).train.minority_groups])
        running = members.cumsum(axis=1)
        assert (running.max(axis=0) - running.min(axis=0) <= 1).all()


def test_no_copies_of_train_rows_leaves_duplicate_without_rows():
    result = trial(Duplicate(), curation=Dedup(), validation=Folds(), contamination="refit", fidelity=True)
    assert all(rows.frame.empty for rows in result.rows.values())
    assert result.rows[1].funnel.rejects == {"duplicate": 4 * 16}  # asked once more, for four times as many
    assert result.stopped == "curation kept 0 of 64 rows where 16 were wanted"
    assert list(result.curve().columns) == [0]
    assert not result.verdicts
    assert "Mean: [" in result.summary("d", "m", "c")


def test_no_rows_at_all_give_no_verdict_but_controls_to_choose_from():
    result = trial(NoRows(), controls={"class_weight": controls.class_weight}, validation=Folds())
    assert not result.verdicts and not result.stopped
    found = set(result.errors["metric"])
    assert {"validation_balanced_error", "validation_control/class_weight/balanced_error"} <= found


def test_validation_folds_see_curated_rows_too():
    rejected = []

    def keep(rows):
        rejected.append(len(rows))
        return np.ones(len(rows), dtype=bool)

    result = trial(Duplicate(), seeds=(1,), curation=Chain([Odd(keep)]), validation=Folds(2))
    assert len(rejected) == 3  # the trial's own and one per fold
    assert "validation_balanced_error" in set(result.errors["metric"])


def test_rows_that_folds_paid_for_are_counted_apart():
    method = Counted()
    method.remake = "paid"
    result = trial(method, seeds=(1,), validation=Folds(2, "always"))
    assert result.usage.requests == 16
    assert result.metrics["llm/validation_requests"] == 16  # 8 for each of two folds
    assert "paid/validation_requests" in result.metrics


def test_seeds_without_validation_are_named():
    result = trial(Smote(), task=Imbalanced(40, 0.05, test_rows=80), validation=Folds())
    assert any("No amount chosen for seed 1, 2" in note for note in result.notes)


def test_controls_that_the_table_does_not_allow_are_named():
    named = {"smote": controls.Balanced(Smote()), "class_weight": controls.class_weight}
    single = Imbalanced(40, 0.025, test_rows=60)
    result = trial(Duplicate(), task=single, seeds=(1,), controls=named)
    note = result.notes[0]
    assert note.startswith("control smote is not possible on this table: ") and "needs two train rows" in note


def test_missing_values_leave_no_control_out():
    named = {"smote": controls.Balanced(Smote())}
    result = trial(Duplicate(), mixed_table(400), seeds=(1,), controls=named)
    assert "control/smote/error" in set(result.errors["metric"])
    (note,) = (note for note in result.notes if note.startswith("Control smote: "))
    assert "Missing values of 3 columns" in note


def test_amounts_are_those_of_all_seeds_where_train_sizes_differ():
    class Uneven(Imbalanced):
        def split(self, table, seed):
            split = super().split(table, seed)
            frame = split.train.frame.iloc[: len(split.train.frame) - 5 * (seed == 2)]
            return replace(split, train=replace(split.train, frame=frame))

    errors = trial(Duplicate(), task=Uneven(40, 0.2, test_rows=80), seeds=(1, 2)).errors
    amounts = errors[errors["metric"] == "error"].groupby("seed")["amount"].agg(list)
    assert amounts[1] == amounts[2] == [0, 7, 14]


class Thief(Oversampler):
    """Hands over test rows after the first few honest ones, as a model that knows the table would."""

    def __init__(self, table, task, honest):
        self.table, self.task, self.honest = table, task, honest

    def sample(self, train, n, progress=None):
        test = self.task.split(self.table, train.seed).test
        stolen = test[train.minority_groups[0].mask(test)]
        if train.seed != 1:
            stolen = stolen.iloc[:0]
        made = Smote().sample(train, n).frame
        return Rows(pd.concat([made.iloc[: self.honest], stolen, made])[:n].reset_index(drop=True))


def test_test_rows_among_the_synthetic_ones_are_found_and_the_curve_drawn_without_them():
    table = number_table(400)
    result = trial(Thief(table, TASK, honest=8), table, contamination="refit")
    assert result.metrics["seed_1/contamination/test_exact"] == 8
    assert result.metrics["seed_2/contamination/test_exact"] == result.metrics["seed_2/contamination/test_chance"] == 0
    (warning,) = result.warnings
    assert "8 of 32 synthetic rows over 2 seeds equal a test row" in warning
    assert f"\nWARNING: {warning}" in result.summary("d", "m", "c")
    both = result.curve() - result.curve("without_test_matches/error")
    assert (both.loc[2] == 0).all() and (both.loc[1, [0, 8]] == 0).all()
    changed = result.errors.set_index(["metric", "seed", "amount"])["value"]
    assert changed["without_test_matches/brier", 1, 16] == changed["brier", 1, 8]
    assert changed["without_test_matches/brier", 1, 16] != changed["brier", 1, 16]


def test_the_contamination_check_can_count_alone_or_stay_away():
    table = number_table(400)
    counted = trial(Thief(table, TASK, honest=8), table, contamination="count")
    assert counted.metrics["contamination/test_exact"] == 8
    assert not any(m.startswith("without_test_matches") for m in counted.errors["metric"])
    assert not any("contamination" in m for m in trial(Duplicate()).metrics)


def test_all_rows_of_a_replayed_file_are_checked_used_or_not(tmp_path):
    table = number_table(400)
    split = TASK.split(table, 1)
    made = Smote().sample(split.train, 20).frame
    stolen = split.test[split.test["label"] == 1].iloc[:5]
    pd.concat([made, stolen]).to_csv(tmp_path / "rows.csv", index=False)
    replay = Replay(str(tmp_path / "rows.csv"))
    result = trial(replay, table, seeds=(1,), contamination="refit")
    assert len(result.rows[1].frame) == 16
    assert result.metrics["seed_1/contamination/test_exact"] == 5
    assert len(result.tables["contamination"]) == 25
    assert not any(m.startswith("without_test_matches") for m in result.errors["metric"])  # none of them was used
    every_other = Odd(lambda rows: np.arange(len(rows)) % 2 == 0)
    curated = trial(replay, table, seeds=(1,), curation=every_other)
    assert len(curated.rows[1].frame) == 13 and "kept 13 of 25" in curated.stopped


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [(1, 2)])
def test_a_judged_trial_is_equal_when_repeated(seeds):
    def once():
        return trial(
            Smote(),
            seeds=seeds,
            controls={"class_weight": controls.class_weight, "smote": controls.Balanced(Smote())},
            validation=Folds(),
            fidelity=True,
            contamination="refit",
        )

    first, second = once(), once()
    pd.testing.assert_frame_equal(first.errors, second.errors)
    assert first.notes == second.notes
    assert first.metrics == pytest.approx(second.metrics, nan_ok=True)
    assert {f"seed_{s}/amount_chosen" for s in seeds} | {"fidelity/marginal"} <= set(first.metrics)


def test_requests_of_an_earlier_round_are_kept_and_counted_once():
    def asked(*keys, paid, stored=()):
        each = {"requests": 1, "prompt_tokens": 10, "completion_tokens": 0, "cached_tokens": 0, "money": 0.5}
        total = Usage(requests=len(keys), prompt_tokens=10 * len(keys), money=0.5 * len(keys), paid_requests=paid)
        total = replace(total, cache_hits=len(stored))
        prompts = [{"key": k, "usage": each, "cached": k in stored} for k in keys]
        return Rows(pd.DataFrame(), usage=total, prompts=prompts)

    both = asked("b", "c", "d", paid=1, stored="bd").after(asked("a", "b", "e", paid=2, stored="e"))
    assert [p["key"] for p in both.prompts] == ["a", "e", "b", "c", "d"]
    assert (both.usage.requests, both.usage.prompt_tokens, both.usage.money) == (5, 50, 2.5)
    assert (both.usage.paid_requests, both.usage.cache_hits) == (3, 2), "b was stored by the earlier round itself"
    third = asked("a", "b", "c", "d", "e", "f", paid=1, stored="abcde").after(both)
    assert (third.usage.paid_requests, third.usage.cache_hits) == (4, 2), "and stays so in a third round"
    assert [p["key"] for p in third.prompts if p["cached"]] == ["d", "e"]


def test_the_probe_warns_of_a_model_that_knows_the_table(tmp_path):
    table = number_table(400)
    written = lines(table.frame, table.schema.columns, "csv")

    class Forgetful(Duplicate):
        def __init__(self, url):
            self.client = Client("fake", url, None, store=tmp_path / url[-8:-3], supports={}, retries=0)

    with FakeLLM(answer=lambda body: "\n".join(written[20:40])) as fake:
        result = trial(Forgetful(fake.url), table, seeds=(1,), contamination_probe=True)
    assert result.metrics["contamination/recall"] == 1.0
    assert any("recalled 20 of the next 20" in w for w in result.warnings)
    assert len(result.tables["memory"]) == 20
    result.save(tmp_path, table.schema)
    assert (tmp_path / "prompts" / "memory.jsonl").read_text().count("\n") == 1
    with FakeLLM(answer=lambda body: "I do not know it.") as fake:
        result = trial(Forgetful(fake.url), table, seeds=(1,), contamination_probe=True)
    assert result.metrics["contamination/recall"] == 0.0 and not result.warnings
    with FakeLLM(answer=lambda body: Status(400)) as fake:
        result = trial(Forgetful(fake.url), table, seeds=(1,), contamination_probe=True)
    assert "not known" in result.notes[0] and len(result.curve().columns) == 3  # the trial is not lost
    assert "this method has none" in trial(Duplicate(), seeds=(1,), contamination_probe=True).notes[0]


def test_fresh_draws_and_training_seeds_are_told_apart():
    forest = Classifier(partial(RandomForestClassifier, n_estimators=5))
    given = {"amounts": Amounts(steps=2), "fidelity": False, "contamination": "off"}
    twice = Replicates(draws=3, trainings=2)
    found = Trial(number_table(400), TASK, Smote(), forest, (1, 2), replicates=twice, **given).run()
    table = found.tables["replicates"]
    assert len(table) == 2 * 3 * 2 and table.groupby(["seed", "draw"])["value"].nunique().max() == 2
    assert {f"variance/{k}" for k in ("generator", "training", "generator_share")} <= set(found.metrics)
    assert any("from fresh draws of the generator" in note for note in found.notes)

    copies = trial(Duplicate(), replicates=twice)  # a logistic regression has no use for its seed
    assert copies.tables["replicates"].groupby(["seed", "draw"])["value"].nunique().max() == 1


def test_rows_that_cannot_be_drawn_again_have_no_generator_variance(tmp_path):
    table = number_table(400)
    table.frame.head(20).to_csv(tmp_path / "rows.csv", index=False)
    found = trial(Replay(f"{tmp_path}/rows.csv"), table, replicates=Replicates(draws=2))
    assert "replicates" not in found.tables and any("cannot be drawn again" in note for note in found.notes)
