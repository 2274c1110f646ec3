"""What differs between a recorded run and its repetition."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opal.record.environment import environment
from opal.record.run_record import Point, volatile

# What describes the run rather than its result, or follows from another artifact (figures: from errors.csv).
NOT_COMPARED = ("config.yaml", "environment.json", "responses.jsonl.gz", "data/", "inputs/", "figures/")
# Of a prompt's line, what a replay cannot have equal: when and how its answer came.
VOLATILE_FIELDS = ("cached", "created")
VOLATILE_USAGE = ("retries", "cache_hits", "seconds", "paid_requests", "paid_tokens", "paid_money")


@dataclass(frozen=True)
class Difference:
    """One compared thing, with both values."""

    what: str
    recorded: str
    now: str
    equal: bool


def compare_metrics(recorded: Sequence[Point], now: Sequence[Point]) -> list[Difference]:
    """Every metric point but the volatile ones, which must be equal to the last digit."""
    before = {(key, step): value for key, value, step in recorded if not volatile(key)}
    after = {(key, step): value for key, value, step in now if not volatile(key)}
    return [
        Difference(f"metric {key} at {step}", _shown(before, point), _shown(after, point), _same(before, after, point))
        for point in sorted(before | after)
        for key, step in [point]
    ]


def compare_artifacts(recorded: Path, now: Path) -> list[Difference]:
    """SHA-256 of every result file on either side."""
    names = {
        str(path.relative_to(folder)) for folder in (recorded, now) for path in folder.rglob("*") if path.is_file()
    }
    differences = []
    for name in sorted(n for n in names if not n.startswith(NOT_COMPARED)):
        before, after = content_digest(recorded / name), content_digest(now / name)
        differences.append(Difference(f"artifact {name}", before[:12], after[:12], before == after))
    return differences


def compare_environment(recorded: Path) -> list[Difference]:
    """Versions and code that are other than when the run was made."""
    path = recorded / "environment.json"
    if not path.is_file():
        return []
    before, after = json.loads(path.read_text()), environment()
    differences = [
        Difference(name.replace("_", " "), str(before.get(name)), str(after.get(name)), False)
        for name in ("opal", "python", "platform", "git_revision", "git_dirty")
        if before.get(name) != after.get(name)
    ]
    packages: dict[str, Any] = before.get("packages", {})
    for name in sorted(packages.keys() & after["packages"].keys()):
        if packages[name] != after["packages"][name]:
            differences.append(Difference(f"package {name}", packages[name], after["packages"][name], False))
    return differences


def content_digest(path: Path) -> str:
    """SHA-256 (hex) of a file, of a prompts file without what differs by nature; "missing" if there is none."""
    if not path.is_file():
        return "missing"
    content = path.read_bytes()
    if path.parent.name == "prompts":
        content = b"\n".join(_stable(line) for line in content.splitlines())
    return hashlib.sha256(content).hexdigest()


def _stable(line: bytes) -> bytes:
    record = json.loads(line)
    for name in VOLATILE_FIELDS:
        record.pop(name, None)
    for name in VOLATILE_USAGE:
        record.get("usage", {}).pop(name, None)
    return json.dumps(record, sort_keys=True).encode()


def _shown(values: dict[tuple[str, int], float], point: tuple[str, int]) -> str:
    return repr(values[point]) if point in values else "missing"


def _same(before: dict[tuple[str, int], float], after: dict[tuple[str, int], float], point: tuple[str, int]) -> bool:
    return point in before and point in after and before[point] == after[point]
