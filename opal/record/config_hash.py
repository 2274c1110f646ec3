"""Two hashes over what can change a number, and nothing else.

``generation_hash`` covers what decides the synthetic rows, ``config_hash`` that and what decides the metrics.
Both are SHA-256 over canonical JSON of the table's facts and of the resolved configuration without the keys
below. Every key counts unless it is listed here, so that a new option can never be forgotten. Numbers keep
their type: 1 and 1.0 are different (``max_features=1`` is one feature, ``1.0`` all of them), since a needless
second run costs less than a wrong answer. Package versions are logged, not hashed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import PurePath
from typing import Any

from opal.errors import ConfigError
from opal.table import Table

SCHEMA_VERSION = 1  # raise it when the meaning of a key changes; tests/record/golden_hashes.json guards it

# Top-level sections that decide no number. `data` is replaced by the table's own facts; `llm` and `prompt`
# count through `method`, which refers to them when it uses them; `experiment` and `debug` set other keys.
IGNORED_SECTIONS = frozenset(
    "data data_dir llm prompt tracking experiment debug hydra dry_run n_jobs progress verbose".split()  # noqa: SIM905
)
# Sections that decide metrics but no synthetic row.
EVALUATION_SECTIONS = frozenset(["classifier", "controls", "metrics", "evaluate", "contamination"])
# Keyword arguments (beside a `_target_`, at any depth) that say where, how fast and for how much, not what.
IGNORED_ARGUMENTS = frozenset(
    """
    base_url api_key api_key_env key_env headers proxy
    timeout retries max_retries backoff concurrency max_concurrency requests_per_minute tokens_per_minute
    price prices budget store cache cache_dir replay offline dry_run
    n_jobs thread_count verbose progress allow_writing_files
    """.split()  # noqa: SIM905
)


def generation_hash(config: Mapping[str, Any], table: Table) -> str:
    """SHA-256 (64 hex digits) over what decides the synthetic rows: table, task, method, seeds, amounts.

    Parameters
    ----------
    config : the composed configuration (an OmegaConf node or plain dict), interpolations resolvable
    table : its digest, schema, minority and group count; its name, source and path do not
    """
    return _digest("generation", science(config, table, evaluation=False))


def config_hash(config: Mapping[str, Any], table: Table) -> str:
    """SHA-256 (64 hex digits) over all that can change a number; its first 12 digits name the run."""
    return _digest("config", science(config, table))


def science(config: Mapping[str, Any], table: Table, evaluation: bool = True) -> dict[str, Any]:
    """The part of the configuration that counts, as plain JSON types: what the hashes are taken over."""
    skipped = IGNORED_SECTIONS if evaluation else IGNORED_SECTIONS | EVALUATION_SECTIONS
    counted = {name: _plain(value) for name, value in resolved(config).items() if name not in skipped}
    return {"table": _facts(table)} | counted


def resolved(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as plain dicts and lists, every interpolation replaced by its value."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if not OmegaConf.is_config(config):
        return dict(config)
    try:
        return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]
    except OmegaConfBaseException as err:
        raise ConfigError(f"the configuration cannot be resolved: {str(err).splitlines()[0]}") from err


def _facts(table: Table) -> dict[str, Any]:
    columns = [
        [c.name, c.kind, c.dtype, c.decimals, c.description] for c in table.schema.columns
    ]  # levels and ranges follow from the digest
    return {
        "digest": table.digest,
        "target": table.schema.target,
        "minority": _plain(table.minority),
        "group": table.group,
        "columns": columns,
    }


def _plain(value: Any) -> Any:
    """``value`` in JSON types; keyword arguments that do not count are left out."""
    if isinstance(value, Mapping):
        ignored = IGNORED_ARGUMENTS if "_target_" in value else frozenset()
        return {str(k): _plain(v) for k, v in value.items() if k not in ignored}
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(v) for v in value]
    if hasattr(value, "item"):  # a NumPy scalar
        return value.item()
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ConfigError(f"a configuration holds {value!r}: only plain values have a hash")


def _digest(kind: str, content: dict[str, Any]) -> str:
    text = json.dumps(
        {"schema": SCHEMA_VERSION, "kind": kind, "content": content},
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
    )
    return hashlib.sha256(text.encode()).hexdigest()
