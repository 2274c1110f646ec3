"""Selecting runs by sweep, hash, tag, date, options or any MLflow search string."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from opal.errors import ConfigError

Clause = dict[str, Any]  # type, key, comparator, value: the form that MLflow's own parser gives


@dataclass(frozen=True)
class Where:
    """A selection of runs; every condition must hold.

    Parameters
    ----------
    sweep : id of a sweep (tag ``opal.sweep_id``)
    hashes : configuration hashes, full or short
    tags : tag name to value
    since, until : local dates (2026-11-22, both included) or times (2026-11-22T14:00)
    options : for any of data, task, method, classifier, llm, prompt, ...: the options wanted
    search : a search string of MLflow, e.g. ``metrics.error < 0.1 and params.task = 'imbalanced'``
    """

    sweep: str = ""
    hashes: Sequence[str] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    since: str = ""
    until: str = ""
    options: Mapping[str, Sequence[str]] = field(default_factory=dict)
    search: str = ""

    def clauses(self) -> list[Clause]:
        """The conditions other than ``hashes``, ``options`` and ``search``, as comparisons."""
        tags = {"opal.kind": "trial"} | ({"opal.sweep_id": self.sweep} if self.sweep else {}) | dict(self.tags)
        found = [_clause("tag", key, "=", value) for key, value in tags.items()]
        if self.since:
            found.append(_clause("attribute", "start_time", ">=", _milliseconds("since", self.since)))
        if self.until:
            found.append(_clause("attribute", "start_time", "<", _milliseconds("until", self.until)))
        return found

    def filter_string(self) -> str:
        """The same conditions, and ``search``, in MLflow's language."""
        return " and ".join([*map(_written, self.clauses()), *([self.search] if self.search else [])])

    def holds(self, config_hash: str, chosen: Mapping[str, Sequence[str]]) -> bool:
        """Whether a run of this hash is selected; each of its options may have several names."""
        if self.hashes and not config_hash.startswith(tuple(self.hashes)):
            return False
        return all(set(chosen.get(group, ())) & set(options) for group, options in self.options.items())


def parse_search(text: str) -> list[Clause]:
    """The comparisons of a search string.

    Raises
    ------
    ConfigError : MLflow does not understand it
    """
    from mlflow.exceptions import MlflowException
    from mlflow.utils.search_utils import SearchUtils

    try:
        parsed = SearchUtils.parse_search_filter(text)
    except MlflowException as err:
        raise ConfigError(f"--where {text!r} is not an MLflow search string: {str(err).splitlines()[0]}") from err
    return [c | {"key": SearchUtils.translate_key_alias(c["key"])} for c in parsed]


def _clause(kind: str, key: str, comparator: str, value: object) -> Clause:
    return {"type": kind, "key": key, "comparator": comparator, "value": value}


def _written(clause: Clause) -> str:
    if clause["type"] == "attribute":
        return f"attributes.{clause['key']} {clause['comparator']} {clause['value']}"
    if "'" in str(clause["value"]) or "`" in clause["key"]:
        raise ConfigError(f"the tag {clause['key']}={clause['value']} cannot be searched for: it holds a quote")
    return f"tags.`{clause['key']}` {clause['comparator']} '{clause['value']}'"


def _milliseconds(name: str, text: str) -> int:
    """Since the epoch; a date as ``until`` includes its day."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as err:
        raise ConfigError(f"--{name} {text} is not a date: write it as 2026-11-22 or 2026-11-22T14:00") from err
    if name == "until" and len(text) <= 10:
        moment += timedelta(days=1)
    return int(moment.timestamp() * 1000)
