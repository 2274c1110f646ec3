"""The fidelity figure: drawn for every kind of column and group, and for nothing where there is nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tables import mixed_table, number_table, table_of

from opal.evaluate.fidelity import fidelity_by_group
from opal.methods.duplicate import Duplicate
from opal.report.figures.fidelity import draw_fidelity, fidelity_figure, places
from opal.tasks.imbalanced import Imbalanced
from opal.tasks.spurious import Spurious

ONE = table_of(pd.DataFrame({"x": np.arange(200) % 37, "y": np.arange(200) % 5 // 4}), "y", 1)
CASES = [
    (mixed_table(400), Imbalanced(40, 0.2, test_rows=80)),
    (number_table(400), Spurious(12, 4, test_rows=80, augment=True)),
    (ONE, Imbalanced(40, 0.2, test_rows=60, deduplicate=False)),  # a single feature has no second component
]


@pytest.mark.slow
@pytest.mark.parametrize(("table", "task"), CASES, ids=["mixed", "groups", "one column"])
def test_a_figure_for_every_table(table, task, tmp_path):
    trains = [task.split(table, seed).train for seed in (1, 2)]
    rows = [Duplicate().sample(t, 40).frame for t in trains]
    found = {t.seed: fidelity_by_group(r, t) for t, r in zip(trains, rows, strict=True)}
    measured = pd.DataFrame({seed: of.metrics for seed, of in found.items()}).rename_axis("metric").reset_index()
    columns = pd.concat([of.columns.assign(seed=seed) for seed, of in found.items()])
    path = tmp_path / "figures" / "fidelity.png"
    found_at = places(rows[0], trains[0])
    fidelity_figure(measured, columns, found_at, path, "a title")
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    fidelity_figure(measured, columns.iloc[:0], found_at, tmp_path / "none.png", "a title")
    assert not (tmp_path / "none.png").exists()


@pytest.mark.slow
def test_panels_leave_room_for_their_labels_and_little_more():
    train = Imbalanced(40, 0.2, test_rows=80).split(number_table(400), 1).train
    for longest in (3, 40):
        frame = train.frame.rename(columns={train.frame.columns[0]: "x" * longest})
        named = table_of(frame, train.schema.target, 1)
        split = Imbalanced(30, 0.2, test_rows=8, deduplicate=False).split(named, 1)
        rows = Duplicate().sample(split.train, 10).frame
        found = fidelity_by_group(rows, split.train)
        measured = pd.Series(found.metrics, name=1).rename_axis("metric").reset_index()
        figure = draw_fidelity(measured, found.columns.assign(seed=1), places(rows, split.train), "a title")
        figure.canvas.draw()
        for before, axis in zip(figure.axes, figure.axes[1:], strict=False):
            label = min(text.get_window_extent().x0 for text in axis.get_yticklabels())
            gap = (label - before.get_window_extent().x1) / figure.bbox.width
            assert 0 < gap < 0.06


def test_distances_of_columns_are_those_of_the_metrics():
    train = Imbalanced(40, 0.2, test_rows=80).split(number_table(400), 1).train
    metrics, columns = fidelity_by_group(Duplicate().sample(train, 40).frame, train)
    assert columns["column"].tolist() == [c.name for c in train.schema.features]
    assert columns["distance"].mean() == pytest.approx(metrics["fidelity/marginal"])
    assert columns["chance"].mean() == pytest.approx(metrics["fidelity/marginal_chance"])
