"""What OPAL costs beside the work itself: start-up, and the fixed cost of a tracked run against the bare trial.

python scripts/bench_overhead.py
python scripts/bench_overhead.py --trial method=smote data=craft figures=false

Start-up: each step in a process of its own, the best of some repeats, beside importing pandas and Hydra alone.

Fixed cost: in a sweep, all that passes between the end of one trial and the start of the next: writing the result of
the one, composing and building the other. The trial itself is `opal.trial.Trial.run`: splits, rows, fits, measures and
verdict, without Hydra, figures or MLflow. Both in CPU seconds of one process, so that a machine whose speed changes
changes both; the first jobs, which import and warm up, are left out. What the helper process draws and records
meanwhile is printed beside it: CPU seconds of all jobs, loading included.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # before NumPy loads

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import mean

from benchmark import Figure, finish, parse

TRIALS = (
    ["method=smote", "data=craft"],
    ["experiment=paper_imbalanced", "method=smote", "data=craft", "classifier=paper_logistic"],
)
LIBRARIES = (  # what a run of logistic regression that is recorded in SQLite and drawn cannot do without
    "import hydra, pandas, sklearn.compose, sklearn.linear_model, imblearn.over_sampling, matplotlib.figure, "
    "mlflow.tracking, mlflow.store.tracking.sqlalchemy_store, sqlalchemy.dialects.sqlite"
)
WARM = 2  # jobs
PARTS = {
    "load_configuration": "composing",
    "build": "building",
    "begun": "artifacts",
    "settle": "waiting for the helper",
}
SWEEP = """
import json, resource, sys, time
import opal.run, opal.config.build, opal.helper, opal.record.pending, opal.sweep.outstanding, opal.trial.trial
from hydra._internal.config_loader_impl import ConfigLoaderImpl

spans = {}

def timed(owner, name):
    work = getattr(owner, name)
    def measured(*args, **kwargs):
        start = time.process_time()
        found = work(*args, **kwargs)
        spans.setdefault(name, []).append((start, time.process_time()))
        return found
    setattr(owner, name, measured)

for owner, name in (
    (opal.trial.trial.Trial, "run"), (opal.config.build, "build"), (ConfigLoaderImpl, "load_configuration"),
    (opal.record.pending, "begun"), (opal.sweep.outstanding, "settle"),
):
    timed(owner, name)
try:
    opal.run.main()
finally:
    opal.helper.stop()
    spans["helper"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    json.dump(spans, open("spans.json", "w"))
"""
OPAL = ["-m", "opal.cli.main"]
SECOND = ["run", "method=none", "seeds=[2]"]
STEPS = {
    "python": ["-c", "pass"],
    "import pandas and hydra": ["-c", "import pandas, hydra"],
    "a run's libraries alone": ["-c", LIBRARIES],
    "import opal.run": ["-c", "import opal.run"],
    "opal.run --cfg job": ["-m", "opal.run", "--cfg", "job"],
    "first run, new store": ["-m", "opal.run", "method=none", "seeds=[1]"],
    "second run": [*OPAL, *SECOND],
    "opal run --help": [*OPAL, "run", "--help"],
    "a mistyped key": [*OPAL, "run", "methd=smote"],
    "a missing file": [*OPAL, "run", "data=csv", "data.path=no.csv", "data.target=y"],
    "no data.target": [*OPAL, "run", "data=csv", "data.path=table.csv"],
    "dry run": [*OPAL, *SECOND, "dry_run=true"],
    "a finished run": [*OPAL, *SECOND],
}
MISTAKES = ("a mistyped key", "a missing file", "no data.target")
AIMS = {"opal run --help": 1.5, **dict.fromkeys(MISTAKES, 1.5), "a finished run": 3.0}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trial", nargs="+", help="overrides of the trial; default: two trials, one after the other")
    parser.add_argument("--jobs", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    options = parse(parser, jobs=5, repeats=2)
    figures = start_up(options.repeats)
    for trial in [options.trial] if options.trial else TRIALS:
        figures.append(fixed_cost(trial, options.jobs))
    return finish(*figures)


def start_up(repeats: int) -> list[Figure]:
    best: dict[str, tuple[float, float]] = {}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "table.csv").write_text("a,y\n1,no\n2,yes\n")
            for step, arguments in STEPS.items():
                best[step] = min(
                    best.get(step, (9e9, 9e9)), child(arguments, Path(folder), 2 if step in MISTAKES else 0)
                )
    floor = best["import pandas and hydra"][0]
    print(f"{'start-up':<26} {'CPU s':>7} {'wall s':>7} {'ratio':>6}")
    for step, (cpu, wall) in best.items():
        print(f"{step:<26} {cpu:>7.2f} {wall:>7.2f} {cpu / floor:>6.2f}", flush=True)
    name = "{} beside importing pandas and Hydra: CPU"
    return [
        Figure(name.format(step), cpu / floor, AIMS.get(step), note=f"{cpu:.2f} s") for step, (cpu, _) in best.items()
    ]


def fixed_cost(trial: list[str], jobs: int) -> Figure:
    seeds = ",".join(f"[{','.join(str(100 * job + k) for k in range(1, 6))}]" for job in range(jobs))
    with tempfile.TemporaryDirectory() as folder:
        child(["-c", SWEEP, "-m", *trial, f"seeds={seeds}"], Path(folder))
        spans = json.loads((Path(folder) / "spans.json").read_text())
    trials = spans["run"][WARM:]
    bare = mean(end - start for start, end in trials)
    fixed = mean(later[0] - earlier[1] for earlier, later in pairwise(trials))
    print(f"\n{' '.join(trial)}, 5 seeds, a job")
    print(f"fixed cost {fixed:.2f} s CPU, trial {bare:.2f} s: {1 + fixed / bare:.2f} times the bare trial")
    parts = {name: mean(end - start for start, end in spans[of][WARM:]) for of, name in PARTS.items() if of in spans}
    print("of it " + ", ".join(f"{name} {seconds:.2f}" for name, seconds in parts.items()))
    print(f"the helper meanwhile {spans['helper']:.2f} s in all", flush=True)
    return Figure(
        f"a tracked run beside its trial ({' '.join(trial)}): CPU", 1 + fixed / bare, note=f"{fixed:.2f} s more"
    )


def child(arguments: list[str], folder: Path, status: int = 0) -> tuple[float, float]:
    """CPU and wall seconds of a Python process that works in ``folder``."""
    path = os.pathsep.join([str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")])
    before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    wall, after = time.perf_counter() - wall, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != status:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


if __name__ == "__main__":
    sys.exit(main())
