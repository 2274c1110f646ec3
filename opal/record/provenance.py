"""What a run stores so that it can be repeated anywhere: its table, files, model answers and environment."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from opal.config.addresses import with_public_names
from opal.config.resolve import as_yaml, resolved
from opal.config.trust import check_trust
from opal.errors import TrackingError
from opal.record import inputs
from opal.record.environment import environment, masked
from opal.table import Column, Schema, Table, frame_digest

TABLE_LIMIT = 5_000_000  # bytes of Parquet: larger tables are not copied into every run
CONFIG_LIMIT = 1_000_000  # bytes of YAML
UNPACKED_LIMIT = 2_000_000_000  # bytes of a recorded table or of all answers, unpacked
CONFIG = "config.yaml"
RESPONSES = "responses.jsonl.gz"
TABLE, BESIDE, FACTS = "table.parquet", "beside.parquet", "table.json"


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write ``config.yaml``: the resolved configuration with passwords in addresses masked."""
    (folder / CONFIG).write_text(masked(as_yaml(config)), encoding="utf-8")


def read_config(folder: Path, trusted: Sequence[str] = (), calls_model: bool = False) -> dict[str, Any]:
    """The configuration that `write_config` wrote, or that somebody handed on; nothing in it is resolved.

    Parameters
    ----------
    trusted, calls_model : see `opal.config.trust.check_trust`

    Raises
    ------
    ConfigError : it names code that is neither OPAL's nor trusted
    TrackingError : it is not a configuration
    """
    import yaml
    from omegaconf import OmegaConf

    with readable(path := folder / CONFIG):
        if path.stat().st_size > CONFIG_LIMIT:
            raise ValueError(f"larger than {CONFIG_LIMIT} bytes")
        text = path.read_text(encoding="utf-8")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise ValueError("a YAML alias, which OPAL does not write")  # a few lines of them unfold to gigabytes
        config = OmegaConf.to_container(OmegaConf.create(text))
        if not isinstance(config, dict):
            raise ValueError("not a mapping of sections")
        for section in ("data", "method"):
            if not isinstance(config.get(section) or {}, dict):
                raise ValueError(f"{section} is not a section of keys")
    config = with_public_names(config)
    check_trust(config, trusted, calls_model)
    return config


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn every fault of reading a recorded file into a TrackingError that names it."""
    import yaml
    from omegaconf.errors import OmegaConfBaseException

    faults = (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zlib.error, RecursionError)
    try:
        yield
    except (*faults, yaml.YAMLError, OmegaConfBaseException) as fault:
        reason = (str(fault).splitlines() or [""])[0] or type(fault).__name__
        raise TrackingError(f"{path} is damaged: {reason}") from fault


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
        same = path.stat().st_size <= TABLE_LIMIT and _digest_of(path, table) == frame_digest(table.frame)
    except (ValueError, TypeError):  # a column that Parquet cannot hold, such as text and numbers mixed
        same = False
    if not same:
        path.unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()
        return False
    if not table.beside.empty:
        table.beside.to_parquet(folder / BESIDE, index=False)
    facts = {
        "name": table.name,
        "digest": table.digest,
        "target": table.schema.target,
        "minority": table.minority,
        "minorities": list(table.minorities),
        "group": table.group,
        "source": table.source,
        "sizes": {task: dict(sizes) for task, sizes in table.sizes.items()},
        "columns": [[c.name, c.kind, c.dtype, c.decimals, c.description, c.date_format] for c in table.schema.columns],
    }
    (folder / FACTS).write_text(json.dumps(facts, indent=1, default=lambda v: v.item()))
    return True


def read_table(folder: Path) -> Table | None:
    """The table that `write_table` kept, or None.

    Raises
    ------
    TrackingError : the kept table is damaged, or is not the one that was written
    """
    if not (folder / FACTS).is_file():
        return None
    with readable(folder / FACTS):
        facts = json.loads((folder / FACTS).read_text())
        dtypes = {name: dtype for name, _, dtype, *_ in facts["columns"]}
    with readable(folder / TABLE):
        frame = _read(folder / TABLE, dtypes)
        columns = [
            Column(name, kind, dtype, decimals, description=description, date_format="".join(form)).learn(frame[name])
            for name, kind, dtype, decimals, description, *form in facts["columns"]
        ]
        schema = Schema(tuple(columns), facts["target"])
        named = (facts["minority"], facts["group"], facts["source"], facts["sizes"])
        beside = _read(folder / BESIDE, {}) if (folder / BESIDE).is_file() else pd.DataFrame()
        order = (beside.get("units"), beside.get("time"), tuple(facts.get("minorities", ())))
        table = Table(facts["name"], frame, schema, *named, *order)
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
    """Make a response store of a file that `pack_responses` wrote; returns the number of answers.

    Raises
    ------
    TrackingError : the file is damaged, or unpacks to more than UNPACKED_LIMIT bytes
    """
    if not packed.is_file():
        return 0
    keys, unpacked = set(), 0
    with readable(packed), gzip.open(packed) as file:
        while line := file.readline(UNPACKED_LIMIT - unpacked):
            unpacked += len(line)
            if unpacked >= UNPACKED_LIMIT:
                raise ValueError(f"it unpacks to more than {UNPACKED_LIMIT} bytes")
            content = json.loads(line)
            if not re.fullmatch("[0-9a-f]{64}", key := str(content["key"])):  # it becomes a file name
                raise ValueError(f"{key[:80]!r} is not a key of an answer")
            path = store / key[:2] / f"{key}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content["record"], ensure_ascii=False), encoding="utf-8")
            keys.add(key)
    return len(keys)


def keys_of(prompts: Path) -> list[str]:
    """Keys of the answers that a run used, sorted."""
    keys = set()
    for path in sorted(prompts.glob("*.jsonl")):
        with readable(path):
            for line in path.read_text(encoding="utf-8").splitlines():
                if line.strip() and (key := json.loads(line).get("key")):
                    keys.add(key)
    return sorted(keys)


def model_of(artifacts: Path) -> str:
    """Identity of the language model that a run used, "" if it used none."""
    for path in sorted((artifacts / "prompts").glob("*.jsonl")):
        with readable(path):
            for line in path.read_text(encoding="utf-8").splitlines():
                return str(json.loads(line)["model"])
    return ""


def _response_store(plain: Mapping[str, Any]) -> str | None:
    client = (plain.get("method") or {}).get("client")
    return client.get("store") if isinstance(client, Mapping) else None


def _digest_of(path: Path, table: Table) -> str:
    return frame_digest(_read(path, {str(n): str(t) for n, t in table.frame.dtypes.items()}))


def _read(path: Path, dtypes: Mapping[str, str]) -> pd.DataFrame:
    import pyarrow.parquet as pq

    facts = pq.read_metadata(path)  # a small file may unpack to more than the memory holds
    if sum(facts.row_group(i).total_byte_size for i in range(facts.num_row_groups)) > UNPACKED_LIMIT:
        raise ValueError(f"it unpacks to more than {UNPACKED_LIMIT} bytes")
    frame = pd.read_parquet(path)
    return frame.astype({n: t for n, t in dtypes.items() if str(frame[n].dtype) != t})
