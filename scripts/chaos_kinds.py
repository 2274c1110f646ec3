"""The sweeps of `scripts/bench_faults.py chaos`, and what is done to each kind of them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chaos_checks import processes

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 120  # seconds for a killed sweep to end, and for processes to follow it
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
Sleep = Callable[[float, float], None]  # for a random time within these bounds, in seconds
SHORT = (
    "data=craft",
    "controls=none",
    "amounts.steps=1",
    "contamination=off",
    "fidelity=false",
    "figures=false",
    "validation.folds=2",
)


class Kind:
    """Plain sweeps, each killed at a random moment unless it ends before.

    Parameters
    ----------
    folder : empty; the sweeps work in a folder below it
    rng : draws moments and signals
    """

    options: tuple[str, ...] = ("method=none,duplicate", "amounts.size=4")
    methods, size, life = 2, 2, 10.0  # jobs a seed; seeds added when a sweep ends by itself; most seconds of a sweep
    in_flight = 0  # most requests that are under way in one sweep
    fault: Any = None  # step that goes wrong beside the kills, again and again; takes a `Sleep`

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder, self.rng, self.marker = folder, rng, f"OPAL_CHAOS={uuid.uuid4().hex}"
        self.work, self.temporary, self.log = folder / "work", folder / "tmp", folder / "sweeps.log"
        self.work.mkdir()
        self.temporary.mkdir()
        self.seeds, self.ended, self.left = range(1, 1 + self.size), Counter[str](), 0
        self.env = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"} | {
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(self.temporary),
            "OPAL_CHAOS": self.marker.partition("=")[2],
        }

    @property
    def uri(self) -> str:
        """Where the runs are."""
        return f"sqlite:///{self.work}/mlflow.db"

    @contextmanager
    def ready(self) -> Iterator[None]:
        """What all sweeps need, the last one included.

        Raises
        ------
        Unable : it cannot be had on this machine
        """
        yield

    @contextmanager
    def disturbed(self) -> Iterator[None]:
        """What goes wrong beside the kills, until the last sweep."""
        if self.fault is None:
            yield
            return
        with again_and_again(self.fault, random.Random(self.rng.random())):
            yield

    def start(self, seeds: range) -> subprocess.Popen[bytes]:
        """A sweep, as the leader of a process group; a trial for each seed and method."""
        trials = ",".join(f"[{s}]" for s in seeds)
        command = [sys.executable, "-m", "opal.run", "-m", *self.options, *SHORT, f"seeds={trials}"]
        with self.log.open("ab") as log:
            said: dict[str, Any] = {"stdout": log, "stderr": log, "cwd": self.work, "env": self.env}
            return subprocess.Popen(command, start_new_session=True, **said)

    def round(self) -> None:
        """One sweep of the newest seeds and some before them, killed or not, and what is left of it."""
        self.kill(self.start(self.seeds[-2 * self.size :]))
        self.count_left()

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """Let it live for a random time, then send a signal to its group."""
        try:
            self.note_end(process.wait(self.rng.uniform(0, self.life)))
        except subprocess.TimeoutExpired:
            how = self.rng.choice(SIGNALS)
            self.send(process, how)
            self.ended[how.name] += 1
            self.wait(process)

    def send(self, process: subprocess.Popen[bytes], how: signal.Signals) -> None:
        os.killpg(process.pid, how)

    def wait(self, process: subprocess.Popen[bytes]) -> None:
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.ended["hung"] += 1
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def note_end(self, code: int) -> None:
        """A sweep ended by itself: the next ones get new seeds where it was complete."""
        self.ended["failed" if code else "finished"] += 1
        if not code:
            self.seeds = range(1, self.seeds.stop + self.size)

    def count_left(self) -> None:
        """End what a sweep left behind, and count it."""
        for pid in processes(self.marker, PATIENCE):
            self.left += 1
            os.kill(pid, signal.SIGKILL)

    def billed_twice(self) -> str:
        """What an endpoint billed twice, or more than was in flight, in words; empty if nothing."""
        return ""

    def told(self) -> str:
        """Further counts, in words."""
        return ""


class Unable(Exception):
    """A kind that this machine does not allow; says why."""


@contextmanager
def again_and_again(step: Callable[[Sleep], None], rng: random.Random) -> Iterator[None]:
    """Repeat ``step`` in a thread until the block ends."""
    stop = threading.Event()

    def sleep(least: float, most: float) -> None:
        stop.wait(rng.uniform(least, most))

    def loop() -> None:
        while not stop.is_set():
            step(sleep)

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class Local(Kind):
    """Sweeps with the embedded model."""

    options = (
        "method=llm",
        "llm=local",
        "llm.n_per_request=2",
        "llm.sampling.max_tokens=48",
        "llm.server.context=2048",
        "prompt.examples_per_request=3",
        "amounts.size=4",
    )
    methods, life = 1, 14.0

    def count_left(self) -> None:
        if self.rng.random() < 0.5:  # else the next sweep meets the server while it is ending
            super().count_left()


class Workers(Kind):
    """Sweeps whose jobs run in processes, with two fits at a time."""

    options = (*Kind.options, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "n_jobs=2")
    life = 14.0

    def send(self, process: subprocess.Popen[bytes], how: signal.Signals) -> None:
        if how == signal.SIGKILL and self.rng.random() < 0.5:  # the process that leads alone, as a lack of memory does
            process.kill()
        else:
            super().send(process, how)


ALL = {"plain": Kind, "local": Local, "workers": Workers}
