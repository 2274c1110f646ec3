"""What OPAL costs beside the work itself: start-up, and the fixed cost of a tracked run against the bare trial.

python scripts/bench_overhead.py
python scripts/bench_overhead.py --trial method=smote data=craft figures=false

Start-up: each step in a process of its own, the best of some repeats, beside importing pandas and Hydra alone.

Fixed cost: one sweep of n jobs and one of 2n; the difference over n is what a further job costs, start-up left out.
The bare trial is `opal.parts.run` on the same settings, composed and built beforehand: splits, rows, fits, measures and
verdict, without Hydra, figures or MLflow. Below it, parts of the fixed cost measured alone. CPU seconds hold on a busy
machine, wall seconds do not.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # before NumPy loads

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir

from opal.parts import CONF, build, run

TRIALS = (
    ["method=smote", "data=craft"],
    ["experiment=paper_imbalanced", "method=smote", "data=craft", "classifier=paper_logistic"],
)
LIBRARIES = (  # what a run of logistic regression that is recorded in SQLite and drawn cannot do without
    "import hydra, pandas, sklearn.compose, sklearn.linear_model, imblearn.over_sampling, matplotlib.figure, "
    "mlflow.tracking, mlflow.store.tracking.sqlalchemy_store, sqlalchemy.dialects.sqlite"
)
STEPS = {
    "python": ["-c", "pass"],
    "import pandas and hydra": ["-c", "import pandas, hydra"],
    "a run's libraries alone": ["-c", LIBRARIES],
    "import opal.run": ["-c", "import opal.run"],
    "opal.run --cfg job": ["-m", "opal.run", "--cfg", "job"],
    "first run, new store": ["-m", "opal.run", "method=none", "seeds=[1]"],
    "second run": ["-m", "opal.run", "method=none", "seeds=[2]"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trial", nargs="+", help="overrides of the trial; default: two trials, one after the other")
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    start_up(options.repeats)
    for trial in [options.trial] if options.trial else TRIALS:
        fixed_cost(trial, options.jobs)


def start_up(repeats: int) -> None:
    best: dict[str, tuple[float, float]] = {}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            for step, arguments in STEPS.items():
                best[step] = min(best.get(step, (9e9, 9e9)), child(arguments, Path(folder)))
    floor = best["import pandas and hydra"][0]
    print(f"{'start-up':<26} {'CPU s':>7} {'wall s':>7} {'ratio':>6}")
    for step, (cpu, wall) in best.items():
        print(f"{step:<26} {cpu:>7.2f} {wall:>7.2f} {cpu / floor:>6.2f}", flush=True)


def fixed_cost(trial: list[str], jobs: int) -> None:
    seeds = [f"[{','.join(str(100 * job + k) for k in range(1, 6))}]" for job in range(3 * jobs)]
    swept = []
    for some in (seeds[:jobs], seeds[jobs:]):
        with tempfile.TemporaryDirectory() as folder:
            arguments = ["-m", "opal.run", "-m", *trial, f"seeds={','.join(some)}"]
            swept.append(child(arguments, Path(folder)))
    tracked = [(more - few) / jobs for few, more in zip(*swept, strict=True)]
    bare, parts = alone(trial, seeds[: jobs + 1])
    print(f"\n{' '.join(trial)}, 5 seeds, a job")
    print(f"tracked: {tracked[0]:.2f} s CPU, {tracked[1]:.2f} s wall; bare trial: {bare:.2f} s CPU")
    print(f"fixed cost: {tracked[0] - bare:.2f} s CPU, {tracked[0] / bare:.2f} times the bare trial")
    print("of it " + ", ".join(f"{name} {seconds:.2f}" for name, seconds in parts.items()), flush=True)


def alone(trial: list[str], seeds: list[str]) -> tuple[float, dict[str, float]]:
    """CPU seconds of one bare trial, and of parts of the fixed cost, each the mean but for the first."""
    from opal.report.figures import run_figures

    seconds: dict[str, list[float]] = {"trial": [], "composing": [], "building": [], "curves.png": []}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        start = time.process_time()
        found = work()
        seconds[name].append(time.process_time() - start)
        return found

    with initialize_config_dir(CONF, version_base="1.3"), tempfile.TemporaryDirectory() as folder:
        for some in seeds:
            config = timed("composing", lambda some=some: compose("config", [*trial, f"seeds={some}"]))
            parts = timed("building", lambda config=config: build(config))
            result = timed("trial", lambda config=config, parts=parts: run(config, parts, "method"))
            timed("curves.png", lambda result=result: run_figures(result.errors, Path(folder), "title"))
    means = {name: sum(each[1:]) / len(each[1:]) for name, each in seconds.items()}
    return means.pop("trial"), means


def child(arguments: list[str], folder: Path) -> tuple[float, float]:
    """CPU and wall seconds of a Python process that works in ``folder``."""
    path = os.pathsep.join([str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")])
    before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    wall, after = time.perf_counter() - wall, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


if __name__ == "__main__":
    main()
