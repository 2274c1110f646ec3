"""Differences between a recorded run and its repetition."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opal.record.environment import environment
from opal.record.run_record import Point, volatile

# What describes the run and not its result, or is drawn from other artifacts.
NOT_COMPARED = ("config.yaml", "environment.json", "responses.jsonl.gz", "data/", "inputs/", "figures/")
# Metrics of 0.1 that are no longer measured, or not in the same way: the ends of a verdict's interval.
RETIRED = re.compile(r"seed_\d+/fidelity/|verdict/.*/(low|high)$")
# Lines of summary.txt that hold the published figures; the wording of the sentences after them may change.
FIGURES = re.compile(rb"(data|method|classifier|Row \d+|Mean|Std|min): ")
# Fields of a prompt's line that tell when and how its answer came; they differ in every repetition.
VOLATILE_FIELDS = ("cached", "created")
VOLATILE_USAGE = ("retries", "cache_hits", "seconds", "paid_requests", "paid_tokens", "paid_money")


@dataclass(frozen=True)
class Difference:
    """One compared thing, with both values."""

    what: str
    recorded: str
    now: str
    equal: bool


def compare_metrics(recorded: Sequence[Point], now: Sequence[Point], older: bool = False) -> list[Difference]:
    """Every metric point but the volatile ones; values must be equal to the last digit.

    Parameters
    ----------
    older : the record comes from another version of OPAL: metrics that are new or retired since are left out
    """
    before, after = stable_points(recorded), stable_points(now)
    points = sorted(before | after)
    if older:
        points = [p for p in points if p in before and not RETIRED.match(p[0])]
    return [
        Difference(f"metric {key} at {step}", _shown(before, point), _shown(after, point), _same(before, after, point))
        for point in points
        for key, step in [point]
    ]


def compare_versions(recorded: Sequence[Point], now: Sequence[Point]) -> list[Difference]:
    """Metrics of an older record that are no longer measured, and new ones, as notes that do not count."""
    before, after = ({key for key, _ in stable_points(points)} for points in (recorded, now))
    retired, new = sorted(filter(RETIRED.match, before)), sorted(after - before)
    notes = []
    if retired:
        notes.append(Difference(_listed(retired), f"{len(retired)} metrics", "no longer measured so", False))
    if new:
        notes.append(Difference(_listed(new), "not measured", f"{len(new)} new metrics", False))
    return notes


def stable_points(points: Sequence[Point]) -> dict[tuple[str, int], float]:
    """Value by metric and step, the volatile metrics left out."""
    return {(key, step): value for key, value, step in points if not volatile(key)}


def compare_artifacts(recorded: Path, now: Path, older: bool = False) -> list[Difference]:
    """SHA-256 of every result file on either side.

    Parameters
    ----------
    older : the record comes from another version of OPAL: files and metrics that are new since are left out
    """
    folders = (recorded,) if older else (recorded, now)
    names = {str(path.relative_to(folder)) for folder in folders for path in folder.rglob("*") if path.is_file()}
    differences = []
    for name in sorted(n for n in names if not n.startswith(NOT_COMPARED)):
        before, after = content_digest(recorded / name), content_digest(now / name)
        if older and name == "errors.csv" and before != after:
            after = digest_of_metrics_in(recorded / name, now / name)
        differences.append(Difference(f"artifact {name}", before[:12], after[:12], before == after))
    return differences


def digest_of_metrics_in(recorded: Path, now: Path) -> str:
    """SHA-256 (hex) of the lines of ``now`` (an errors.csv) whose metric ``recorded`` has, in its order."""
    known = {line.split(b",")[2] for line in recorded.read_bytes().splitlines() if line.count(b",") > 1}
    kept = [line + b"\n" for line in now.read_bytes().splitlines() if line.split(b",")[2] in known]
    return hashlib.sha256(b"".join(kept)).hexdigest()


def compare_environment(recorded: Path) -> list[Difference]:
    """Versions and code that have changed since the run was made."""
    path = recorded / "environment.json"
    if not path.is_file():
        return []
    after = environment()
    try:
        before = json.loads(path.read_text())
        packages: dict[str, Any] = dict(before.get("packages", {}))
    except (ValueError, TypeError, AttributeError):
        return [Difference(path.name, "damaged", "", False)]
    differences = [
        Difference(name.replace("_", " "), str(before.get(name)), str(after.get(name)), False)
        for name in ("opal", "python", "platform", "git_revision", "git_dirty")
        if before.get(name) != after.get(name)
    ]
    for name in sorted(packages.keys() & after["packages"].keys()):
        if packages[name] != after["packages"][name]:
            differences.append(Difference(f"package {name}", packages[name], after["packages"][name], False))
    return differences


def content_digest(path: Path) -> str:
    """SHA-256 (hex) of what counts in a file: the figures of summary.txt, and what a repetition of prompts can repeat.

    "missing" if there is none.
    """
    if not path.is_file():
        return "missing"
    content = path.read_bytes()
    if path.name == "summary.txt":
        content = b"\n".join(line for line in content.splitlines() if FIGURES.match(line))
    if path.parent.name == "prompts":
        content = b"\n".join(_stable(line) for line in content.splitlines())
    return hashlib.sha256(content).hexdigest()


def _stable(line: bytes) -> bytes:
    try:
        record = json.loads(line)
        for name in VOLATILE_FIELDS:
            record.pop(name, None)
        for name in VOLATILE_USAGE:
            record.get("usage", {}).pop(name, None)
    except (ValueError, AttributeError, TypeError):  # damaged: it counts as it is
        return line
    return json.dumps(record, sort_keys=True).encode()


def _shown(values: dict[tuple[str, int], float], point: tuple[str, int]) -> str:
    return repr(values[point]) if point in values else "missing"


def _same(before: dict[tuple[str, int], float], after: dict[tuple[str, int], float], point: tuple[str, int]) -> bool:
    return point in before and point in after and before[point] == after[point]


def _listed(names: Sequence[str]) -> str:
    patterns = list(dict.fromkeys(re.sub(r"^seed_\d+/", "seed_<s>/", name) for name in names))
    return ", ".join(patterns[:3]) + (", ..." if len(patterns) > 3 else "")
