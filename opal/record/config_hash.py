"""Two hashes over everything that can change a figure, and nothing else.

``generation_hash`` covers what determines the synthetic rows, ``config_hash`` also what determines the metrics.
Both are SHA-256 over canonical JSON of the table's facts and of the resolved configuration. Every key counts unless
`opal.config.keys` says that it decides nothing, so that a new option can never be forgotten. Numbers keep
their type: 1 and 1.0 are different (``max_features=1`` is one feature, ``1.0`` all of them), since a needless
second run costs less than a wrong answer. Package versions are logged, not hashed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from enum import Enum
from pathlib import PurePath
from typing import Any

from opal.config.effect import without_effect
from opal.config.keys import KEYS
from opal.config.resolve import resolved
from opal.errors import ConfigError
from opal.evaluate.looks import AUTO
from opal.record.inputs import PATH_ARGUMENTS, content_of
from opal.table import Table

# Raise it when the meaning of a key changes (tests/record/golden_hashes.json notices). 2: classes by public names.
SCHEMA_VERSION = 2

# Arguments of other packages that change speed, not figures; those of OPAL are marked by `opal.config.effect.NoEffect`.
IGNORED_ARGUMENTS = frozenset(["n_jobs", "thread_count", "verbose", "progress", "allow_writing_files"])


# Fields of a table whose content its digest holds, and its names.
IN_DIGEST = ("name", "source", "frame", "schema", "units", "time")


def generation_hash(config: Mapping[str, Any], table: Table, model: str = "") -> str:
    """SHA-256 (64 hex digits) over what determines the synthetic rows: table, task, method, seeds, amounts.

    Parameters
    ----------
    config : the composed configuration (an OmegaConf node or plain dict), interpolations resolvable
    table : its digest, schema, minority, group and sizes count; its name, source and path do not
    model : the language model's identity where the method has one (for local weights it holds their digest)
    """
    return _digest("generation", science(config, table, model, evaluation=False))


def config_hash(config: Mapping[str, Any], table: Table, model: str = "") -> str:
    """SHA-256 (64 hex digits) over everything that can change a figure; its first 12 digits name the run."""
    return _digest("config", science(config, table, model))


def science(config: Mapping[str, Any], table: Table, model: str = "", evaluation: bool = True) -> dict[str, Any]:
    """The part of the configuration that is hashed, as plain JSON types."""
    plain = resolved(config)
    seeds = plain.get("seeds") or ()
    skipped = {"nothing"} if evaluation else {"nothing", "figures"}
    kept = {name: value for name, value in plain.items() if name not in KEYS or KEYS[name].decides not in skipped}
    counted = {name: _plain(value, seeds) for name, value in kept.items() if name != "hydra"}
    if seeds != AUTO and counted.get("answer"):  # has no effect then
        counted["answer"].pop("most_seeds", None)
    if counted.get("measure", "auto") == "auto":
        counted.pop("measure", None)
    if counted.get("measure") != "cost":  # have no effect then
        counted.pop("cost", None)
        counted.pop("prevalence", None)
    return {"table": _facts(table), "model": model} | counted


def _facts(table: Table) -> dict[str, Any]:
    """All fields of the table except its names; levels and ranges follow from the digest."""
    named = {f.name: getattr(table, f.name) for f in fields(table) if f.name not in IN_DIGEST}
    if not table.minorities:  # as before there could be several
        named.pop("minorities")
    columns = [
        [c.name, c.kind, c.dtype, c.decimals, c.description, *filter(None, [c.date_format])]
        for c in table.schema.columns
    ]
    return _plain({"digest": table.digest, "target": table.schema.target, "columns": columns} | named, ())


def _plain(value: Any, seeds: Sequence[int]) -> Any:
    """``value`` in JSON types; arguments that do not count are left out, files stand for their content."""
    if isinstance(value, Mapping):
        if "_target_" not in value:
            return {str(k): _plain(v, seeds) for k, v in value.items()}
        ignored = IGNORED_ARGUMENTS | without_effect(str(value["_target_"]))
        counted = {str(k): v for k, v in value.items() if k not in ignored}
        return {k: _argument(k, v, seeds) for k, v in counted.items()}
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(v, seeds) for v in value]
    if hasattr(value, "item"):  # a NumPy scalar
        return value.item()
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ConfigError(f"a configuration holds {value!r}: only plain values have a hash")


def _argument(name: str, value: Any, seeds: Sequence[int]) -> Any:
    files = name in PATH_ARGUMENTS and isinstance(value, str)
    return content_of(value, seeds) if files else _plain(value, seeds)


def _digest(kind: str, content: dict[str, Any]) -> str:
    text = json.dumps(
        {"schema": SCHEMA_VERSION, "kind": kind, "content": content},
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
    )
    return hashlib.sha256(text.encode()).hexdigest()
