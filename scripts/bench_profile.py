"""Where the time of a run or sweep goes: percent of wall time by the library that OPAL has called.

    python scripts/bench_profile.py [--quick] [OVERRIDE ...]

Without overrides: the published suite of smote and duplicate on craft and gender, 12 runs of five seeds, in one worker.
Samples of the main thread's stack, a hundred a second: each counts for the library whose code the innermost frame of
OPAL has called, importing for itself. A sampled program runs a few percent slower.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # before NumPy loads

import re
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType

from benchmark import Figure, finish, skip

from opal import run

EVERY = 0.01  # seconds
SUITE = ["-m", "experiment=paper_imbalanced", "method=smote,duplicate", "data=craft,gender"]
SUITE += ["classifier=paper_random_forest,paper_catboost,paper_logistic"]
QUICK = ["-m", "experiment=paper_imbalanced", "method=smote", "data=craft", "classifier=paper_logistic,paper_catboost"]
FITS = ("catboost", "scikit-learn", "statsmodels")
NAMES = {"sklearn": "scikit-learn", "imblearn": "imbalanced-learn", "omegaconf": "hydra", "yaml": "hydra"}
LIBRARY = re.compile(r"site-packages[/\\](\w+)")
OPAL = str(Path(run.__file__).parent)


def main() -> int:
    given = sys.argv[1:]
    if not os.environ.get("OPAL_DATA_DIR"):
        skip("OPAL_DATA_DIR does not name the folder of the study's tables")
    sys.argv[1:] = QUICK if given == ["--quick"] else given or SUITE
    counts: Counter[str] = Counter()
    done = threading.Event()
    sampler = threading.Thread(target=sample, args=(threading.get_ident(), counts, done), daemon=True)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["OPAL_DATA_DIR"] = str(Path(os.environ["OPAL_DATA_DIR"]).absolute())
        os.chdir(folder)
        sampler.start()
        try:
            run.main()
        except SystemExit as end:
            if end.code:
                raise
        done.set()
        sampler.join()
        os.chdir("/")
    shares = {name: count / counts.total() for name, count in counts.most_common()}
    parts = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items() if share >= 0.005)
    note = f"{time.perf_counter() - start:.0f} s: {parts}"
    outside = 1 - sum(shares.get(name, 0) for name in FITS)
    return finish(Figure("published runs: share of time outside the libraries that fit", outside, note=note))


def sample(thread: int, counts: Counter[str], done: threading.Event) -> None:
    """Count where a thread is, until ``done``."""
    while not done.wait(EVERY):
        if frame := sys._current_frames().get(thread):
            counts[owner(frame)] += 1


def owner(frame: FrameType | None) -> str:
    """The library that the innermost frame of OPAL has called; ``opal`` where it is at work itself."""
    called = "opal"
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith("<frozen importlib"):
            return "importing"
        if file.startswith(OPAL):
            return called
        if found := LIBRARY.search(file):
            called = NAMES.get(found[1], found[1])
        frame = frame.f_back
    return called


if __name__ == "__main__":
    sys.exit(main())
