"""python -m opal.augment: a table's own rows, unchanged, followed by synthetic rows of the minority classes.

python -m opal.augment data=csv data.path=in.csv data.target=label method=smote output=out.csv
python -m opal.augment data=csv data.path=in.csv data.target=label method=llm provenance=origin output=out.parquet
python -m opal.augment data=csv data.path=in.csv data.target=label data.group=sex task=spurious output=out.csv
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pandas as pd
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from opal.cli.launch import launch
from opal.cli.prepare import limit_budget
from opal.config.build import CONF, instantiate
from opal.config.resolve import resolved
from opal.config.validation import check_number, check_path, check_top_level
from opal.data.write import EXCEL, PARQUET, TEXT, write_table
from opal.errors import ConfigError, DataError
from opal.evaluate.curate import Filter
from opal.evaluate.distance import row_keys
from opal.methods.base import Oversampler, share_out
from opal.progress import Progress
from opal.record.config_hash import generation_hash
from opal.result import Funnel, Usage
from opal.table import Group, Table, Train
from opal.trial.sampling import sample

log = logging.getLogger("opal")


@dataclass
class Made:
    """Synthetic rows and where they came from.

    Parameters
    ----------
    frame : in the plain dtypes of Table.frame
    prompts : key of the request that each row came from, "" where there was none
    """

    frame: pd.DataFrame
    prompts: list[str] = field(default_factory=list)
    funnel: Funnel = field(default_factory=Funnel)
    usage: Usage = field(default_factory=Usage)
    stopped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def wanted_rows(train: Train, rows: int | None) -> dict[Group, int]:
    """Synthetic rows for each group: ``rows`` over the minority groups, or enough to balance all groups."""
    if rows is not None:
        return share_out(rows, train)
    sizes = {g: len(train.rows(g)) for g in train.groups}
    return {g: max(sizes.values()) - n for g, n in sizes.items() if 0 < n < max(sizes.values())}


def make(
    method: Oversampler, train: Train, wanted: Mapping[Group, int], curation: Filter, progress: Progress | None = None
) -> Made:
    """The rows, group by group, curated."""
    total = Made(train.frame.iloc[:0])
    for group, n in wanted.items():
        if not n:
            continue
        made = sample(method, train.short_of(group), n, curation, progress)
        total.prompts += made.sources or [""] * len(made.frame)
        total.frame = pd.concat([total.frame, made.frame], ignore_index=True)
        total.funnel, total.usage = total.funnel + made.funnel, total.usage + made.usage
        total.notes += filter(None, [made.note])
        total.stopped += filter(None, [made.stopped])
    return total


def summary(table: Table, train: Train, made: Made, method: str) -> str:
    """What was made, what was rejected, and how many rows are copies."""

    def counts(frame: pd.DataFrame) -> str:
        return ", ".join(f"{g.name}: {int(g.mask(frame).sum())}" for g in train.groups)

    old, new = row_keys(table.schema, table.frame, made.frame)
    copies = int(np.isin(new, old).sum())
    repeats = len(new) - len(np.unique(new))
    twins = len(old) - len(np.unique(old))
    f, u = made.funnel, made.usage
    rejects = ", ".join(f"{reason} {n}" for reason, n in f.rejects.most_common()) or "none"
    lines = [
        f"{table.name}: {len(table.frame)} rows ({counts(table.frame)})",
        f"made by {method}: {len(made.frame)} rows ({counts(made.frame)})",
        f"funnel: requested {f.requested}, received {f.received}, parsed {f.parsed}, valid {f.valid}, kept {f.kept}; "
        f"rejected: {rejects}",
        f"copies: {copies} of {len(new)} synthetic rows equal a row of the table, {repeats} repeat another synthetic "
        f"row; of the table's own {len(old)} rows {twins} repeat another",
    ]
    if u.requests:
        money = "unknown (llm.prices)" if u.paid_money is None else f"{u.paid_money:.4g}"
        lines.append(
            f"model: {u.requests} answers, {u.cache_hits} of them stored before; {u.paid_tokens} tokens paid, "
            f"money {money}"
        )
    return "\n".join(lines)


def check_output(config: Any, source: str) -> Path:
    """Check where to write, before anything is made or paid for.

    Raises
    ------
    ConfigError : not set, not CSV, Parquet or Excel, the input itself, a folder, or an existing file
    """
    if not config["output"]:
        raise ConfigError("output is not set: name the CSV or Parquet file to write, for example output=augmented.csv")
    path = check_path(config, "output", "a file")
    if path.suffix.casefold() not in TEXT + PARQUET + EXCEL:
        raise ConfigError(
            f"output={config['output']} is neither CSV, Parquet nor Excel: let its name end in .csv, .parquet or .xlsx"
        )
    if path.is_dir():
        raise ConfigError(f"output={config['output']} is a folder: name a file in it")
    if path.exists():
        if source and Path(source).exists() and path.samefile(source):
            raise ConfigError(f"output={config['output']} is the table that is read (data.path): choose another name")
        if not config["overwrite"]:
            raise ConfigError(f"output={config['output']} exists already: choose another name, or set overwrite=true")
    return path


@hydra.main(version_base="1.3", config_path=CONF, config_name="augment")
def job(composed: DictConfig) -> None:
    """Make the missing rows, write the table, and report what it holds."""
    limit_budget(composed, Path(HydraConfig.get().runtime.output_dir).name)
    config = resolved(composed)
    check_number("rows", config["rows"], 1, whole=True, null="to balance the groups")
    check_number("seed", config["seed"], whole=True)
    check_top_level(config, "augment")
    table, task = instantiate(config, "data"), instantiate(config, "task")
    if config["provenance"] and str(config["provenance"]) in table.schema.names:
        raise ConfigError(f"provenance={config['provenance']} is a column of the table already: choose another name")
    train = Train(table.frame, table.schema, task.groups(table), config["seed"])
    wanted = wanted_rows(train, config["rows"])
    if not sum(wanted.values()):
        raise DataError(f"data={table.name} is balanced already: no group is short of rows; say how many with rows=N")
    method, name = instantiate(config, "method"), HydraConfig.get().runtime.choices["method"]
    if not method.makes_rows:
        raise ConfigError(f"method={name} makes no rows: choose another, such as method=smote")
    if config["dry_run"]:
        print(forecast(method, train, wanted))
        return
    path = check_output(config, table.source)
    with Progress() as progress:
        progress.stage("rows", rows=sum(wanted.values()))
        made = make(method, train, wanted, instantiate(config, "curate"), progress)
    digest = generation_hash(config | {"seeds": [config["seed"]]}, table, method.model)[:12]
    named = [f"method={name}", *([f"model={method.model}"] if method.model else []), f"hash={digest}"]
    origin = [" ".join([*named, *([f"prompt={key[:12]}"] if key else [])]) for key in made.prompts]
    extra = (str(config["provenance"]), origin) if config["provenance"] else None
    reading = {name: config["data"].get(name) for name in ("separator", "encoding", "sheet", "missing")}
    escaped = write_table(path, table, made.frame, extra, config["formulas"], **reading)
    print(summary(table, train, made, " ".join(named)))
    if escaped:
        print(
            f"formulas: {escaped} cells that a spreadsheet would run got an apostrophe in front (formulas=true: none)"
        )
    for sentence in dict.fromkeys(made.stopped + made.notes):
        log.warning("opal: %s", sentence)
    print(f"wrote {path}: {len(table.frame) + len(made.frame)} rows")


def forecast(method: Oversampler, train: Train, wanted: Mapping[Group, int]) -> str:
    """What ``dry_run=true`` says."""
    rows = f"{sum(wanted.values())} rows wanted ({', '.join(f'{g.name}: {n}' for g, n in wanted.items())})"
    estimates = [method.forecast(train.short_of(group), n) for group, n in wanted.items() if n]
    if estimates[0] is None:
        return f"{rows}; asks no model, costs nothing"
    return f"{rows}; {sum(estimates[1:], estimates[0])}"


def main() -> None:
    """Start the verb."""
    launch(job, "stopped; answers of a model are kept, and the same command goes on from there")


if __name__ == "__main__":
    main()
