#!/usr/bin/env python
"""Random and damaged input of every kind: does OPAL answer with a result or one sentence, and never otherwise?

    python scripts/fuzz.py [--kinds tables,overrides,answers,stored,records,verbs] [--cases 1000] [--seed 0] [--case N]

A case passes if it ends within 30 s and 4 GB, with a result or an error of OPAL's or Hydra's (a user's mistake), and
its input file is as it was. Prints the number of cases by outcome for each kind, and every failure with the number that
repeats it (`--case N`). Exits 1 where there is one.

    tables      text files: encodings, separators, quotes, NULs, ragged and repeated columns, huge numbers, formulas
    overrides   settings of `opal run`: known keys with values of any type, unknown keys, wrong syntax
    answers     what a model may say, for each way of writing rows
    stored      files of stored answers, cut or changed
    records     exported runs with changed configurations, facts and files
    verbs       whole commands of every verb, each in a process and a folder of its own
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzz_verbs
import numpy as np
import pandas as pd
from fuzz_input import CELLS, VALUES, damage_run, damaged, table_bytes

from opal.errors import OpalError

SECONDS, BYTES = 30, 4 * 2**30
ROOT = Path(__file__).resolve().parents[1]


class Slow(Exception):
    """A case took too long."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case: go on where a run ended")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="repeat this case alone, with its traceback")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_AS, (BYTES + 2 * 2**30, resource.RLIM_INFINITY))  # libraries take some of it
    signal.signal(signal.SIGALRM, _too_slow)
    failures = 0
    if "verbs" in given.kinds:
        fuzz_verbs.template()
    for kind in given.kinds.split(","):
        outcomes: Counter[str] = Counter()
        numbers = range(given.first, given.first + given.cases) if given.case is None else [given.case]
        for number in numbers:
            outcome, what = tried(KINDS[kind], random.Random(f"{given.seed}/{kind}/{number}"), given.case is not None)
            outcomes[outcome] += 1
            if outcome == "FAILED":
                failures += 1
                print(f"{kind} --case {number}: {what}", flush=True)
            if number % 100 == 99:
                print(f"{kind} {number + 1}: {dict(outcomes)}", file=sys.stderr, flush=True)
        print(
            f"{kind}: {len(numbers)} cases, " + ", ".join(f"{n} {name}" for name, n in outcomes.most_common()),
            flush=True,
        )
    sys.exit(bool(failures))


def tried(case: Callable[[random.Random, Path], Any], rng: random.Random, aloud: bool) -> tuple[str, str]:
    """(done | refused | FAILED, why)."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    with tempfile.TemporaryDirectory(prefix="opal-fuzz-") as folder:
        signal.alarm(SECONDS)
        try:
            case(rng, Path(folder))
            return "done", ""
        except (OpalError, HydraException, OmegaConfBaseException, fuzz_verbs.Refused) as fault:
            said = str(fault)
            several = isinstance(fault, OpalError) and "\n" in said.strip()
            return ("FAILED", f"several lines: {said!r}") if several else ("refused", said)
        except (Exception, SystemExit) as fault:
            if aloud:
                traceback.print_exc()
            told = [str(fault), *getattr(fault, "__notes__", [])]
            return "FAILED", f"{type(fault).__name__}: {' '.join(' '.join(told).split())[:1000]}"
        finally:
            signal.alarm(0)


def _too_slow(*_: Any) -> None:
    raise Slow(f"more than {SECONDS} s")


def tables(rng: random.Random, folder: Path) -> None:
    """Read, describe and, where it can be, oversample a random text file."""
    from opal.data import load_csv
    from opal.data.outline import outline
    from opal.data.traps import traps
    from opal.data.write import write_table
    from opal.methods import Duplicate
    from opal.table import Train
    from opal.tasks import Imbalanced

    path = folder / "table.csv"
    path.write_bytes(content := table_bytes(rng))
    given: dict[str, Any] = {"target": rng.choice(["y"] * 9 + ["c0", "", "Y "])}
    if rng.random() < 0.2:
        given |= {"separator": rng.choice([",", ";", "\t", "|", "x"])}
    if rng.random() < 0.2:
        given |= {"encoding": rng.choice(["utf-8", "latin-1", "utf-16", "cp1252", "nonsense"])}
    if rng.random() < 0.2:
        given |= {"missing": rng.sample(CELLS, 3)}
    if rng.random() < 0.2:
        given |= {"free_text": rng.choice(["carry", "drop", "x"])}
    try:
        table = load_csv(str(path), **given)
        outline(table)
        traps(table)
        train = Train(table.frame, table.schema, Imbalanced().groups(table), 1)
        rows = Duplicate().sample(train, 3).frame
        reading: dict[str, Any] = {name: given.get(name) for name in ("separator", "encoding", "missing")}
        write_table(folder / rng.choice(["out.csv", "out.parquet"]), table, rows, **reading)
    finally:
        assert path.read_bytes() == content, "the input was changed"


def overrides(rng: random.Random, folder: Path) -> None:
    """Compose, check and build a trial; run nothing."""
    from opal.cli.launch import check_flags
    from opal.cli.overrides import quoted
    from opal.config.build import build, compose
    from opal.config.options import Options
    from opal.trial.score import resolve_score

    options = Options("run", [])
    typed = []
    for _ in range(rng.randint(1, 3)):
        group = rng.choice(options.groups)
        key = rng.choice(
            [*options.names(), f"{group}.{rng.choice('abcx')}", "method.k_neighbors", "classifier.estimator.C"]
        )
        value = rng.choice([*VALUES, *options.options(group)])
        typed.append(rng.choice(["", "", "", "+", "++", "~"]) + f"{key}={value}")
    sys.argv = ["run", "method=smote", "data_dir=null", *typed]
    check_flags(sys.argv[1:])
    config = compose(*quoted(sys.argv[1:]))
    config["tracking"] = None
    trial = build(config, _table(), "smote")
    resolve_score(config["score"], trial)


def answers(rng: random.Random, folder: Path) -> None:
    """Parse a model's answer."""
    from opal.llm.rows import write
    from opal.llm.rows.parse import Parser

    table = _table()
    style: Any = rng.choice(["csv", "text", "json"])
    lines = write.lines(table.frame.iloc[:3], table.schema.columns, style)
    text = "\n".join(lines)
    if style == "json" and rng.random() < 0.5:
        text = '{"rows": [' + ", ".join(lines) + "]}"
    if rng.random() < 0.3:
        text = f"Sure! Here you are:\n```{style}\n{text}\n```\n" + rng.choice(CELLS)
    if rng.random() < 0.1:
        text = "[" * 3000 + text
    text = damaged(text.encode(), rng).decode("utf-8", "replace")
    for row in Parser(table.schema.columns, style).parse(text, rng.choice(["stop", "length", "", "refusal"])):
        assert row.values is None or set(row.values) == set(table.schema.names)


def stored(rng: random.Random, folder: Path) -> None:
    """Read a stored answer that was cut or changed."""
    from opal.llm.api.cache import ResponseCache
    from opal.llm.api.messages import Request, Response
    from opal.result import Usage

    store = ResponseCache(folder)
    request = Request("m", prompt="a,b\n", sampling={"max_tokens": 5})
    answer = Response(request, ("1,2",), ("stop",), Usage(1, money=None), "free", created="2026-01-01")
    store.put(answer)
    path = store.path(request.key)
    content = path.read_bytes()
    if rng.random() < 0.5:
        record = json.loads(content)
        record[rng.choice(list(record))] = rng.choice([None, 1, "x", [], {}, [1], {"a": 1}])
        content = json.dumps(record).encode()
    else:
        content = damaged(content, rng)
    path.write_bytes(content)
    found = store.get(request)
    assert found is None or found.texts == answer.texts, "a changed answer was served"


def records(rng: random.Random, folder: Path) -> None:
    """Read an exported run that was changed, and build its trial; run nothing."""
    from opal.config.build import build
    from opal.record import inputs
    from opal.record.provenance import RESPONSES, keys_of, model_of, read_config, read_table, unpack_responses
    from opal.record.read import load_export

    recorded = ROOT / "tests" / "record" / "recorded_0_1"
    run = Path(shutil.copytree(recorded / rng.choice(sorted(p.name for p in recorded.iterdir())), folder / "run"))
    damage_run(run, rng)
    found = load_export(run)
    config = read_config(found.artifacts)
    table = read_table(found.artifacts / "data")
    keys_of(found.artifacts / "prompts")
    model_of(found.artifacts)
    unpack_responses(found.artifacts / RESPONSES, folder / "store")
    inputs.redirect(config, found.artifacts / "inputs")
    build(config, table, "method")


def _table() -> Any:
    from opal.data import build_table

    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"a": rng.normal(size=120).round(2), "b": rng.integers(0, 9, 120), "c": rng.choice(["x", "y z"], 120)}
    )
    frame["y"] = np.where(rng.random(120) < 0.3, "yes", "no")
    return build_table("fuzz", frame, source="fuzz", target="y")


KINDS: dict[str, Callable[[random.Random, Path], Any]] = {
    "tables": tables,
    "overrides": overrides,
    "answers": answers,
    "stored": stored,
    "records": records,
    "verbs": fuzz_verbs.verbs,
}

if __name__ == "__main__":
    main()
