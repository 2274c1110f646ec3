#!/usr/bin/env python
"""The embedded model's default threads beside one thread, on an idle machine and on one with a busy core.

    python scripts/bench_threads.py [--table craft] [--rows 10] [--repeats 2] [OVERRIDE ...]

Rows a second, in turns: the median of the pairs. Two threads should be faster where a core is idle, and lose nothing
where another program keeps one busy: threads that spin while they wait took ten times as long there. The busy core is
a loop of Python in a process of its own. Some two minutes on two slow cores.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from bench_llm import load, sample
from benchmark import Figure, finish, need_model, parse

from opal.errors import OpalError
from opal.llm import LocalServer

IDLE, BUSY = 1.4, 0.8  # targets: least


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--table", default="craft")
    arguments.add_argument("--rows", type=int, default=10)
    arguments.add_argument("--repeats", type=int, default=2)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("overrides", nargs="*", help="Hydra overrides, such as llm.n_per_request=8")
    given = parse(arguments, repeats=1)
    need_model()
    figures = []
    try:
        for name, aim, load_of in (("idle", IDLE, nullcontext), ("one core busy", BUSY, busy)):
            with load_of():
                pairs = [(seconds(given, 1), seconds(given, LocalServer.threads)) for _ in range(given.repeats)]
            shown = ", ".join(f"{one:.1f} and {default:.1f}" for one, default in pairs)
            print(f"{name}: 1 and {LocalServer.threads} threads took {shown} s", flush=True)
            ratio = statistics.median(one / default for one, default in pairs)
            what = f"{LocalServer.threads} threads of the embedded model, {name}: speed beside one"
            figures.append(Figure(what, ratio, least=aim))
    except OpalError as error:
        sys.exit(f"bench_threads: {error}")
    return finish(*figures)


def seconds(given: argparse.Namespace, threads: int) -> float:
    """Wall seconds of one draw by a server that has drawn a row before."""
    asked = argparse.Namespace(seed=given.seed, overrides=[*given.overrides, f"llm.server.threads={threads}"])
    train = load(given.table, asked).split
    sample(given.table, asked, train, 1)
    found, _, _ = sample(given.table, asked, train, given.rows)
    load(given.table, asked).client.server.close()
    return found.costs[0].wall


@contextmanager
def busy() -> Iterator[None]:
    """One core is busy meanwhile."""
    loop = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        loop.kill()
        loop.wait()


if __name__ == "__main__":
    sys.exit(main())
