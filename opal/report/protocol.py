"""Which runs may share a table: the same protocol, table and splits; and how runs are labelled.

A protocol is the task with its sizes, the seeds, the amounts and, for each table, the digest of its cells. Runs of
two protocols are never averaged. Within a protocol, runs of one method (or classifier) whose settings differ are
labelled with what differs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from opal.report.read.load import Loaded

COMMON = ("task", "seeds", "amounts.")  # prefixes of the params that define a protocol
OF_METHOD = ("llm", "prompt", "curate", "method.", "paper.")
OF_CLASSIFIER = ("classifier.",)
ASKS_A_MODEL = "method.client."  # params that only a method with a language model has


@dataclass(frozen=True)
class Protocol:
    """What runs have in common, and how they differ from other runs here.

    Parameters
    ----------
    name : 6 hex digits
    facts : param name to value; ``digest of <table>`` where a table of one name has several contents
    runs : boolean array of shape (n_runs,)
    """

    name: str
    facts: dict[str, str]
    runs: np.ndarray


def protocols(loaded: Loaded) -> list[Protocol]:
    """The protocols that the runs follow, the one of most runs first.

    Where a table of one name has several contents, the newest goes with the other tables, each older one separately.
    """
    bases: dict[str, list[int]] = {}
    for i, params in enumerate(loaded.params):
        facts = {k: v for k, v in sorted(params.items()) if k.startswith(COMMON)}
        bases.setdefault(json.dumps(facts), []).append(i)
    tables, digests = list(loaded.runs["data"]), list(loaded.runs["data_digest"])
    found: dict[str, list[int]] = {}
    for text, members in bases.items():
        newest = {tables[i]: digests[i] for i in members}  # runs come oldest first
        old = {(tables[i], digests[i]) for i in members if digests[i] != newest[tables[i]]}
        twofold = {f"digest of {table}": newest[table] for table in sorted({table for table, _ in old})}
        for i in members:
            is_old = (tables[i], digests[i]) in old
            contents = {f"digest of {tables[i]}": digests[i]} if is_old else twofold
            found.setdefault(json.dumps(json.loads(text) | contents), []).append(i)
    out = []
    for text, members in found.items():
        mask = np.zeros(len(tables), dtype=bool)
        mask[members] = True
        out.append(Protocol(hashlib.sha256(text.encode()).hexdigest()[:6], json.loads(text), mask))
    return sorted(out, key=lambda p: (-int(p.runs.sum()), p.name))


def differing(found: Sequence[Protocol]) -> list[str]:
    """Names of the facts that are not the same in all protocols."""
    names = list(dict.fromkeys(name for p in found for name in p.facts))
    return [name for name in names if len({p.facts.get(name, "") for p in found}) > 1]


def labels(loaded: Loaded) -> tuple[list[str], list[str]]:
    """The labels of each run's method and classifier: the option, and where needed what differs.

    No two runs have data, method label and classifier label in common: those that no logged param distinguishes
    are labelled with the first digits of their hash.
    """
    runs = loaded.runs
    methods, classifiers = list(runs["method"]), list(runs["classifier"])
    params = [_own(p) for p in loaded.params]
    everywhere = [{k: p.get(k, "") for k in ("llm", "prompt", "curate")} for p in params]
    shown = _named(methods, everywhere)
    cells = [(d, c, m) for d, c, m in zip(runs["data"], runs["classifier"], shown, strict=True)]
    shown = _told_apart(shown, methods, cells, params, OF_METHOD)
    cells = [(d, c, m) for d, c, m in zip(runs["data"], runs["classifier"], shown, strict=True)]
    named = _told_apart(classifiers, classifiers, cells, params, OF_CLASSIFIER)
    cells = [(d, c, m) for d, c, m in zip(runs["data"], named, shown, strict=True)]
    double = pd.Series(cells, dtype=object).duplicated(keep=False)
    hashes = zip(shown, runs["config_hash"], double, strict=True)
    return [f"{label} #{digest[:6]}" if twice else label for label, digest, twice in hashes], named


def uneven_settings(loaded: Loaded) -> list[str]:
    """Sentences on options whose settings differ from table to table: averages over tables then mix them."""
    sentences = []
    for group, prefixes in (("method", OF_METHOD), ("classifier", OF_CLASSIFIER)):
        for option, at in loaded.runs.groupby(group, observed=True).groups.items():
            own = [_own(loaded.params[i]) for i in at]
            keys = sorted({k for p in own for k in p if k.startswith(prefixes)})
            uneven = [k for k in keys if len({p.get(k, "") for p in own}) > 1]
            if uneven:
                several = ", ".join(f"{k} ({_some({p.get(k, 'none') for p in own})})" for k in uneven[:3])
                sentences.append(f"{group} {option} has several settings of {several}")
    return sentences


def split_warnings(loaded: Loaded, classifiers: Sequence[str], metric: str) -> list[str]:
    """A sentence where runs of one table and classifier disagree about ``metric`` without synthetic rows.

    They would agree if they had been fitted on the same splits by the same code.
    """
    values = loaded.values
    raw = values[(values["control"] == "") & (values["amount"] == 0) & (values["metric"] == metric)]
    wide = raw[raw["seed"] != -1].pivot_table(index="run", columns="seed", values="value")
    at = wide.index.to_numpy()
    groups = wide.groupby([loaded.runs["data"].to_numpy()[at], np.array(classifiers, dtype=object)[at]])
    spread = groups.max() - groups.min()
    bad = [f"{data}/{classifier}" for data, classifier in spread.index[(spread > 1e-9).any(axis=1)]]
    if not bad:
        return []
    return [
        f"the {metric} without synthetic rows is not the same in all runs of {_some(set(bad))}, so that their splits, "
        "their settings or the code differed; compare them run by run (--hash), or repeat the older ones"
    ]


def _own(params: dict[str, str]) -> dict[str, str]:
    """Params that count: without a language model, llm and prompt do not."""
    if any(k.startswith(ASKS_A_MODEL) for k in params):
        return params
    return {k: v for k, v in params.items() if k not in ("llm", "prompt")}


def _named(options: list[str], facts: list[dict[str, str]]) -> list[str]:
    """Options with those facts that vary among the runs of the same option."""
    seen: dict[tuple[str, str], set[str]] = {}
    for option, fact in zip(options, facts, strict=True):
        for key, value in fact.items():
            seen.setdefault((option, key), set()).add(value)
    return [
        _label(option, {k: v for k, v in fact.items() if len(seen[option, k]) > 1})
        for option, fact in zip(options, facts, strict=True)
    ]


def _told_apart(
    shown: list[str], options: list[str], cells: list[tuple], params: list[dict[str, str]], prefixes: tuple[str, ...]
) -> list[str]:
    """Labels with the fewest settings that distinguish the runs of each cell, as far as settings can."""
    at: dict[tuple, list[int]] = {}
    for i, cell in enumerate(cells):
        at.setdefault(cell, []).append(i)
    needed: dict[str, list[str]] = {}
    for members in at.values():
        if len(members) == 1:
            continue
        chosen = needed.setdefault(options[members[0]], [])
        keys = sorted({k for i in members for k in params[i] if k.startswith(prefixes)}, key=lambda k: (len(k), k))
        for key in keys:
            before = {tuple(params[i].get(k, "") for k in chosen) for i in members}
            after = {tuple(params[i].get(k, "") for k in (*chosen, key)) for i in members}
            if len(after) > len(before):
                chosen.append(key)
    return [
        _label(label, {k.split(".", 1)[-1]: params[i].get(k, "none") for k in needed.get(options[i], [])})
        for i, label in enumerate(shown)
    ]


def _label(option: str, facts: dict[str, str]) -> str:
    told = ", ".join(f"{k}={v}" for k, v in facts.items() if v)
    if not told:
        return option
    return f"{option[:-1]}, {told})" if option.endswith(")") else f"{option} ({told})"


def _some(values: set[str]) -> str:
    listed = sorted(values)
    return ", ".join(listed[:4]) + (f" and {len(listed) - 4} more" if len(listed) > 4 else "")
