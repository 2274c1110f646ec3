"""What a run stores so that it can be repeated anywhere: its table, files, model answers and environment."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from opal.config.addresses import with_public_names
from opal.config.resolve import literal, resolved
from opal.errors import TrackingError
from opal.record import inputs
from opal.record.environment import environment, masked
from opal.table import Column, Schema, Table, frame_digest

TABLE_LIMIT = 5_000_000  # bytes of Parquet: larger tables are not copied into every run
CONFIG = "config.yaml"
RESPONSES = "responses.jsonl.gz"
TABLE, FACTS = "table.parquet", "table.json"


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write ``config.yaml``: the resolved configuration with passwords in addresses masked."""
    from omegaconf import OmegaConf

    (folder / CONFIG).write_text(
        masked(OmegaConf.to_yaml(OmegaConf.create(literal(config)), resolve=True)), encoding="utf-8"
    )


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration that `write_config` wrote."""
    from omegaconf import OmegaConf

    return with_public_names(OmegaConf.to_container(OmegaConf.load(folder / CONFIG)))


def write_origin(
    folder: Path,
    config: Mapping[str, Any],
    table: Table,
    overrides: list[str] | None = None,
    log_table: bool = True,
) -> None:
    """Write ``environment.json``, ``data/``, ``inputs/`` and ``responses.jsonl.gz`` into a run's artifacts.

    Parameters
    ----------
    folder : the artifacts' folder; its ``prompts/`` say which stored answers the run used
    log_table : whether the table, and the files that the configuration names, are copied (up to 5 MB each)
    """
    plain = resolved(config)
    (folder / "environment.json").write_text(json.dumps(environment(overrides), indent=1))
    if log_table:
        write_table(folder / "data", table)
        inputs.copy(plain, plain.get("seeds") or (), folder / "inputs")
    if store := _response_store(plain):
        pack_responses(folder / "prompts", Path(store), folder / RESPONSES)


def write_table(folder: Path, table: Table) -> bool:
    """Store ``table`` as Parquet beside its facts; False, with nothing stored, if it is too large or would change."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / TABLE
    try:
        table.frame.to_parquet(path, index=False)
        same = path.stat().st_size <= TABLE_LIMIT and _digest_of(path, table) == table.digest
    except (ValueError, TypeError):  # a column that Parquet cannot hold, such as text and numbers mixed
        same = False
    if not same:
        path.unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()
        return False
    facts = {
        "name": table.name,
        "digest": table.digest,
        "target": table.schema.target,
        "minority": table.minority,
        "group": table.group,
        "source": table.source,
        "sizes": {task: dict(sizes) for task, sizes in table.sizes.items()},
        "columns": [[c.name, c.kind, c.dtype, c.decimals, c.description] for c in table.schema.columns],
    }
    (folder / FACTS).write_text(json.dumps(facts, indent=1, default=lambda v: v.item()))
    return True


def read_table(folder: Path) -> Table | None:
    """The table that `write_table` kept, or None.

    Raises
    ------
    TrackingError : the kept table is not the one that was written
    """
    if not (folder / FACTS).is_file():
        return None
    facts = json.loads((folder / FACTS).read_text())
    frame = _read(folder / TABLE, {name: dtype for name, _, dtype, _, _ in facts["columns"]})
    columns = [
        Column(name, kind, dtype, decimals, description=description).learn(frame[name])
        for name, kind, dtype, decimals, description in facts["columns"]
    ]
    schema = Schema(tuple(columns), facts["target"])
    table = Table(facts["name"], frame, schema, facts["minority"], facts["group"], facts["source"], facts["sizes"])
    if table.digest != facts["digest"]:
        raise TrackingError(f"the kept table {folder / TABLE} has digest {table.digest}, recorded is {facts['digest']}")
    return table


def pack_responses(prompts: Path, store: Path, target: Path) -> int:
    """Copy the stored answers that ``prompts/*.jsonl`` name by key into one file; returns their number."""
    records = []
    for key in keys_of(prompts):
        path = store / key[:2] / f"{key}.json"
        if path.is_file():
            records.append({"key": key, "record": json.loads(path.read_text(encoding="utf-8"))})
    if records:
        lines = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records)
        target.write_bytes(gzip.compress(lines.encode(), mtime=0))
    return len(records)


def unpack_responses(packed: Path, store: Path) -> int:
    """Make a response store of a file that `pack_responses` wrote; returns the number of answers."""
    if not packed.is_file():
        return 0
    lines = gzip.decompress(packed.read_bytes()).decode().splitlines()
    for line in lines:
        content = json.loads(line)
        if not re.fullmatch("[0-9a-f]{64}", key := str(content["key"])):  # it becomes a file name
            raise TrackingError(f"{packed} is damaged: {key[:80]!r} is not a key of an answer")
        path = store / key[:2] / f"{key}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content["record"], ensure_ascii=False), encoding="utf-8")
    return len(lines)


def keys_of(prompts: Path) -> list[str]:
    """Keys of the answers that a run used, sorted."""
    keys = set()
    for path in sorted(prompts.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.strip() and (key := json.loads(line).get("key")):
                keys.add(key)
    return sorted(keys)


def model_of(artifacts: Path) -> str:
    """Identity of the language model that a run used, "" if it used none."""
    for path in sorted((artifacts / "prompts").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            return json.loads(line)["model"]
    return ""


def _response_store(plain: Mapping[str, Any]) -> str | None:
    client = (plain.get("method") or {}).get("client")
    return client.get("store") if isinstance(client, Mapping) else None


def _digest_of(path: Path, table: Table) -> str:
    return frame_digest(_read(path, {str(n): str(t) for n, t in table.frame.dtypes.items()}))


def _read(path: Path, dtypes: Mapping[str, str]) -> pd.DataFrame:
    frame = pd.read_parquet(path)
    return frame.astype({n: t for n, t in dtypes.items() if str(frame[n].dtype) != t})
