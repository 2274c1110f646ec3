"""The kind `verbs` of `scripts/fuzz.py`: whole commands, each in a process and a folder of its own."""

from __future__ import annotations

import atexit
import os
import random
import shlex
import shutil
import signal
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NoReturn

from fuzz_input import CELLS, VALUES, damage_run, table_bytes

SMALL = ["figures=false", "fidelity=false", "contamination=off", "validation.folds=2", "amounts.steps=1", "seeds=[1,2]"]
SMALL += ["controls.balanced_forest.classifier.estimator.n_estimators=5"]
HEAVY = ["sklearn.linear_model", "sklearn.ensemble", "imblearn.ensemble", "imblearn.over_sampling"]
HEAVY += ["opal.cli.launch", "opal.trial.trial", "opal.record.tracking", "mlflow.store.tracking.sqlalchemy_store"]
OWN = ("data=csv", "data.path=table.csv", "data.target=y")
METHODS = ("smote", "duplicate", "none", "gaussian_copula", "mixup", "rose")
FLAGS: dict[str, tuple[str, ...]] = {
    "answer": ("--margin", "--uri", "--experiment", ""),
    "compare": (
        *("--sweep", "--hash", "--tag", "--since", "--until", "--where", "--protocol", "--metric", "--at", "--format"),
        *("--rows", "--figures", "--published", "--html", "--ui", "--uri", "--experiment", ""),
    ),
    "reproduce": ("--to", "--experiment", "--fresh", "--trust", "--recorded-data"),
    "export": ("--uri", "--experiment", "--output"),
    "store": ("size", "prune", "log", "--uri", "--experiment", "--responses", "--yes", ""),
}
WORDS = [
    *VALUES, "--", "-x", "sqlite:///mlflow.db", "sqlite:///table.csv", "http://127.0.0.1:9", "file:mlruns", "run",
    "out", "table.csv", "2026-01-01", "2026-13-01", "balanced_error", "csv", "latex", "chosen", "most", "method=smote",
    "a=b", "metrics.error < 1", "params.method = 'smote'", "opal", "mlruns/0", ".", "/proc/1", "9" * 40,
]  # fmt: skip


def verbs(rng: random.Random, folder: Path) -> None:
    """Run one command; raises AssertionError with its last words where it ends as it must not."""
    home = shutil.copytree(template(), folder / "home")
    verb = rng.choice(["look", "run", "run", "run", "augment", "split", "fit", "tune", *FLAGS])
    words = command(verb, rng, home)
    files = (home / "table.csv", *(home / "run").rglob("*"))
    inputs = {path: path.read_bytes() for path in files if path.is_file()}
    typed = f"{shlex.join(['opal', verb, *words])}: "
    try:
        status, said = run([verb, *words], home)
    except BaseException as fault:
        fault.add_note(typed)
        raise
    assert "Traceback (most recent" not in said, typed + said[-600:]
    may_fail = verb == "reproduce" or "-m" in words  # 1: something differs; some jobs of the sweep failed
    assert status in ((0, 1, 2) if may_fail else (0, 2)), f"{typed}status {status}: {said[-600:]}"
    for path, content in inputs.items():
        assert path.read_bytes() == content, f"{typed}{path.name} was changed"
    if status:
        raise Refused(said)


class Refused(Exception):
    """The command said what is wrong."""


def command(verb: str, rng: random.Random, home: Path) -> list[str]:
    """Random words after a verb; the table or the exported run in ``home`` may be damaged."""
    if verb in FLAGS:
        if verb == "reproduce" and rng.random() < 0.9:
            damage_run(home / "run", rng)
        first = {"reproduce": ["run"], "export": [_hash(home)]}.get(verb, [])
        words = first if rng.random() < 0.8 else [rng.choice(WORDS)]
        for _ in range(rng.randint(0, 2)):
            words += [rng.choice(FLAGS[verb]), rng.choice(WORDS)][: rng.choice([1, 2, 2])]
        if verb == "export" and rng.random() < 0.8:
            words += ["--output", "exported"]
        return [word for word in words if word]
    from opal.config.options import Options

    if own := rng.random() < 0.4:
        (home / "table.csv").write_bytes(table_bytes(rng))
    options = Options(verb, [])
    words = list(OWN)
    words += {
        "run": [*SMALL, f"method={rng.choice(METHODS)}"],
        "augment": [f"method={rng.choice(METHODS)}", "output=out.csv"],
        "split": ["output=splits"],
        "fit": ["output=model"],
        "tune": ["classifier=random_forest", "trials=2", "seeds=[1]"],
    }.get(verb, [])
    for _ in range(rng.randint(0 if own else 1, 2)):
        group = rng.choice(options.groups)
        key = rng.choice([*options.names(), *options.keys, f"{group}.{rng.choice('abcx')}", "method.k_neighbors"])
        value = rng.choice([*VALUES, *CELLS[:20], *options.options(group), *options.options(key)])
        words.append(rng.choice(["", "", "", "", "+", "++", "~"]) + f"{key}={value}")
    return words + ["-m"] * (rng.random() < 0.1)


def run(words: list[str], home: Path) -> tuple[int, str]:
    """Exit status of a command, and all that it printed."""
    output = home.parent / "said.txt"
    child = os.fork()
    if not child:
        _become(words, home, output)
    try:
        _, how = os.waitpid(child, 0)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # and what it may have left behind
    return os.waitstatus_to_exitcode(how), output.read_text(errors="replace")


def done(words: list[str], home: Path) -> None:
    """A command that must succeed."""
    status, said = run(words, home)
    assert not status, said


def _become(words: list[str], home: Path, output: Path) -> NoReturn:
    """Be the command, in a forked process: its libraries are loaded already."""
    status = 1
    try:
        os.setsid()
        os.environ["HOME"] = str(home)
        os.chdir(home)
        file = os.open(output, os.O_CREAT | os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(file, stream)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        sys.argv = ["opal", *words]
        import logging

        logging.disable(logging.NOTSET)
        from opal.cli.main import main

        main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


@cache
def template() -> Path:
    """A folder with a small mixed table, a store with two runs and one of them exported."""
    folder = Path(tempfile.mkdtemp(prefix="opal-fuzz-template-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (home := folder / "home").mkdir()
    rng = random.Random(0)
    lines = ["a,b,c,y"]
    for i in range(120):
        y = "yes" if i % 5 == 0 else "no"
        lines.append(f"{rng.gauss(0, 1):.2f},{rng.randint(0, 9)},{rng.choice(['x', 'y z', ''])},{y}")
    (home / "table.csv").write_text("\n".join(lines) + "\n")
    for heavy in HEAVY:
        __import__(heavy)
    done(["run", "-m", *OWN, *SMALL, "method=smote,duplicate"], home)
    done(["export", _hash(home), "--output", "run"], home)
    return home


def _hash(home: Path) -> str:
    """The hash of the store's run with SMOTE."""
    import sqlite3

    with sqlite3.connect(home / "mlflow.db") as store:
        found = store.execute(
            "SELECT tags.value FROM tags JOIN params USING (run_uuid) "
            "WHERE tags.key = 'opal.config_hash' AND params.key = 'method' AND params.value = 'smote'"
        ).fetchone()
    return str(found[0][:12])
