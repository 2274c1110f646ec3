"""python -m opal.look: how OPAL reads a table, what may mislead, and how long a run would take.

opal look data=csv data.path=t.csv data.target=y
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Mapping

import hydra
from omegaconf import DictConfig

from opal.cli.launch import launch
from opal.cli.prepare import typed
from opal.config.build import CONF, build, instantiate
from opal.config.resolve import resolved
from opal.data.outline import outline, plain_writer, range_of
from opal.data.traps import traps
from opal.data.write import Writer, writers
from opal.table import Table
from opal.trial.trial import Trial

KINDS = {"binary": "two values", "categorical": "names", "integer": "whole numbers", "real": "numbers", "date": "dates"}
MOST_LETTERS = 60


@hydra.main(version_base="1.3", config_path=CONF, config_name="look")
def job(composed: DictConfig) -> None:
    """Print everything; nothing is written."""
    config = resolved(composed)
    table = instantiate(config, "data")
    show(table, writers(table, config["data"].get("separator"), config["data"].get("encoding")))
    for trap in (found := traps(table)):
        print(f"Trap: {trap}")
    if not found:
        print("No traps found: no column predicts the target almost perfectly, none is constant or looks like a key.")
    print(effort(build(config, table)))
    print(f"Next: {shlex.join(['opal', 'run', '-m', 'method=smote,llm', *(word.lstrip('+') for word in typed())])}")


def show(table: Table, writers: Mapping[str, Writer]) -> None:
    """One line on the table, then one row for each column; ``writers``: how its file has numbers and dates."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table as Grid

    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    console.print(escape(outline(table)))
    grid = Grid("column", "kind", "values", "missing", "example")
    for column in table.schema.columns:
        values = table.frame[column.name]
        missing, known = values.isna().mean(), values.dropna()
        kind = "one value" if column.nominal and len(column.levels) == 1 else KINDS[column.kind]
        write = writers.get(column.name) or plain_writer(column)
        example = "" if known.empty else str(known.iloc[0]) if column.nominal else write(known.iloc[0])
        role = "target" if column.name == table.schema.target else kind
        cells = (column.name, role, range_of(column, write), _share(missing), example)
        grid.add_row(*(escape(_short(cell)) for cell in cells), style="bold" if role == "target" else None)
    console.print(grid)
    print(
        "Not as you meant it? data.kinds.COLUMN=categorical, data.drop=[COLUMN], data.target=, data.minority=, "
        "data.groups=COLUMN (rows of one person stay together), data.time=COLUMN (test rows are later), "
        "data.descriptions.COLUMN='meaning and unit'"
    )


def effort(trial: Trial) -> str:
    """How long a default run would take, by one fit of the classifier on train rows of the first seed."""
    seeds = trial.looks[0]
    split = trial.task.split(trial.table, seeds[0])
    for _ in range(2):  # the first fit also loads the classifier's library
        start = time.perf_counter()
        trial.classifier.fit(split.train.frame, split.train.schema).predict_proba(split.test)
        each = time.perf_counter() - start
    amounts = len(trial.amounts(len(split.train.frame)))
    fits = len(seeds) * (amounts + len(trial.controls)) * (1 + trial.validation.folds)
    rows = len(seeds) * max(trial.amounts(len(split.train.frame)))
    return (
        f"A run splits it into {len(split.train.frame):,} train and {len(split.test):,} test rows, {len(seeds)} times, "
        f"and makes some {fits} fits: about {_time(fits * each)} for each method. A language model would be asked for "
        f"{rows:,} rows; dry_run=true says what that costs."
    )


def _share(missing: float) -> str:
    return "" if not missing else "<1%" if missing < 0.005 else f"{missing:.0%}"


def _time(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{round(seconds / 60)} min"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 1] + "…"


def main() -> None:
    """Start the verb."""
    launch(job)


if __name__ == "__main__":
    main()
