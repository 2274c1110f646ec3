"""What is drawn in the figures of runs and sweeps: every curve, every control, and a legend that names them."""

from __future__ import annotations

import pandas as pd
import pytest

from opal.evaluate.metrics import names
from opal.report.figures.run import draw_run
from opal.report.figures.sweep import draw_sweep

SEEDS, AMOUNTS, CONTROLS = (1, 2, 6), (0, 10, 20), {"class_weight": 0.20, "tuned_threshold": 0.15}


def errors_of(shift: float = 0.0) -> pd.DataFrame:
    rows = []
    for metric in names("drawn"):
        for seed in SEEDS:
            rows += [(seed, amount, metric, 0.3 - amount / 200 + seed / 1000 + shift) for amount in AMOUNTS]
            rows += [(seed, 0, f"control/{name}/{metric}", level + shift) for name, level in CONTROLS.items()]
    return pd.DataFrame(rows, columns=["seed", "amount", "metric", "value"])


def levels(axis) -> list[float]:
    """Heights of the horizontal lines across a panel."""
    lines = [line for line in axis.get_lines() if list(line.get_xdata()) == [0, 1]]
    return [pytest.approx(line.get_ydata()[0]) for line in lines]


def test_a_runs_figure_shows_every_seed_the_mean_and_every_control():
    figure = draw_run(errors_of(), "a run")
    for axis in figure.axes[:-1]:
        (seeds,) = (c for c in axis.collections if hasattr(c, "get_segments"))
        assert len(seeds.get_segments()) == len(SEEDS) and len(axis.get_lines()) == 1 + len(CONTROLS)
        assert levels(axis) == list(CONTROLS.values())
    (legend,) = figure.legends
    shown = [text.get_text() for text in legend.get_texts()]
    assert set(CONTROLS) < set(shown) and len(shown) == len(set(shown))


def test_the_next_run_keeps_nothing_of_the_last():
    draw_run(errors_of(), "first")
    without = errors_of()
    figure = draw_run(without[~without["metric"].str.startswith("control/")], "second")
    assert all(len(axis.get_lines()) == 1 for axis in figure.axes[:-1])


@pytest.mark.slow
def test_a_sweeps_figure_shows_every_run_and_the_best_control_of_each_table():
    hashed = "-0123456789ab"
    runs = {f"{t}/{m}/logistic{hashed}": errors_of(s) for t, s in (("a", 0.0), ("b", 0.1)) for m in ("smote", "llm")}
    figure = draw_sweep(runs, "a sweep")
    assert len(figure.axes) == 2 * (len(names("drawn")) + 1)
    for axis in figure.axes[: len(names("drawn"))]:
        better = max if axis.get_title() == "average precision" else min
        assert len(axis.get_lines()) == 2 + 1 and levels(axis) == [better(CONTROLS.values())]
    assert levels(figure.axes[-5]) == [0.1 + 0.15]
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == ["smote/logistic", "llm/logistic", "best control"]


def test_each_classifier_has_its_own_best_control():
    hashed = "-0123456789ab"
    runs = {f"a/smote/{c}{hashed}": errors_of(s) for c, s in (("logistic", 0.0), ("catboost", 0.1))}
    figure = draw_sweep(runs, "a sweep")
    assert levels(figure.axes[0]) == [0.15, 0.25]
    shown = [t.get_text() for t in figure.legends[0].get_texts()]
    assert {"best control of logistic", "best control of catboost"} < set(shown)


def with_gain(rows: float) -> pd.DataFrame:
    """Balanced errors: 0.3 for nothing, 0.2 for a moved threshold, less ``rows`` with synthetic rows."""
    given = [(0, "validation_balanced_error", 0.3), (10, "validation_balanced_error", 0.1), (0, "balanced_error", 0.3)]
    given += [(10, "balanced_error", 0.25), (10, "threshold/balanced_error", 0.2 - rows)]
    given += [(0, f"{p}control/base_rate_threshold/{m}", 0.2) for p in ("", "validation_") for m in ("error", METRIC)]
    found = [(seed, amount, metric, value) for seed in SEEDS for amount, metric, value in given]
    return pd.DataFrame(found, columns=["seed", "amount", "metric", "value"])


METRIC = "balanced_error"


@pytest.mark.parametrize("rows", [0.05, -0.05])
def test_the_bar_stacks_what_the_rows_gain_on_what_the_threshold_gains(rows):
    panel = draw_run(with_gain(rows), "a run").axes[-1]
    threshold, beyond = panel.patches
    assert panel.get_visible() and threshold.get_height() == pytest.approx(0.1)
    assert (beyond.get_y(), beyond.get_height()) == pytest.approx((0.1, rows))
    panel = draw_sweep({f"a/{m}/logistic-0123456789ab": with_gain(rows) for m in ("smote", "llm")}, "a sweep").axes[-1]
    assert len(panel.patches) == 4
    assert not draw_run(errors_of(), "without validation").axes[-1].get_visible()
