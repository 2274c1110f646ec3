"""Time the published imbalanced suite against its fits alone, with one worker and with two.

python scripts/bench_suite.py                       4 tables x 3 methods x 3 classifiers x 5 seeds x 6 amounts
python scripts/bench_suite.py --quick               the first 2 tables and 2 seeds; start-up weighs more there
python scripts/bench_suite.py --rows DIR            DIR/<table>/<method>/train_generate_colsbase_rand<seed>.csv

The suite is one command with one process start, splits, replayed rows, metrics, record and figures; the limit is
what fit and predict_proba of the bare estimators cost on the same rows, every one of them. The suite itself makes a
fit without synthetic rows once for all methods. Workers are processes of Hydra's joblib launcher (pip install
hydra-joblib-launcher); errors must not depend on their number. Splits are the published ones, drawn here. Where --rows
has no file, stand-in rows are written: duplicate as the study drew it, smote by imbalanced-learn, and smote of another
seed in place of the language model's. CPU seconds count all processes; on a busy machine they too grow, and wall
seconds say nothing. Tables come from OPAL_DATA_DIR. scripts/bench_study.py runs the suite beside the study's scripts.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # before NumPy loads

import argparse
import hashlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from benchmark import Figure, finish, skip

from opal.config.build import build, compose
from opal.split import write_split
from opal.trial import Trial

TIMED = """  # in a small process: a started one inherits the peak memory of its parent
import resource, subprocess, sys, time
start = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=sys.stderr)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1000)
sys.exit(done.returncode)
"""
METHODS = ("llm", "smote", "duplicate")
CLASSIFIERS = ("paper_random_forest", "paper_catboost", "paper_logistic")  # the longest first: no worker waits for it
TABLES = ("gender", "heart_failure", "diabetes", "craft")
SEEDS = (1, 2, 6, 8, 42)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=TABLES)
    parser.add_argument("--classifiers", nargs="+", default=CLASSIFIERS)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if not os.environ.get("OPAL_DATA_DIR"):
        skip("OPAL_DATA_DIR does not name the folder of the study's tables")
    if options.quick:
        options.tables, options.seeds = options.tables[:2], options.seeds[:2]
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        given = sum(write_folders(root / "rows", table, options.seeds, options.rows) for table in options.tables)
        print(f"{len(options.tables)} tables x {len(options.seeds)} seeds x 3 methods: {given} files of rows given,")
        print("stand-ins for the others (see --help)", flush=True)
        fits, wall, cpu = fits_alone(root / "rows", options)
        print(f"{fits} fits alone: {wall:.1f} s wall, {cpu:.1f} s CPU", flush=True)
        walls, found, figures = {}, {}, []
        for workers in options.workers:
            took, found[workers] = suite(root, options.tables, options.classifiers, options.seeds, workers)
            walls[workers] = took.wall
            print(
                f"suite, {workers} worker{'s' * (workers > 1)}: {took}; "
                f"ratio to the fits: {took.wall / wall:.2f} wall, {took.cpu / cpu:.2f} CPU",
                flush=True,
            )
            if workers == 1:
                name, note = f"published suite beside its {fits:,} fits alone: wall", f"{walls[1]:.0f} s"
                figures.append(Figure(name, walls[1] / wall, 1.25, note=note))
        for workers in options.workers[1:]:
            first = options.workers[0]
            if found[workers] != found[first]:
                sys.exit(f"the errors with {workers} workers differ from those with {first}")
            print(f"{workers} workers: {walls[first] / walls[workers]:.2f} times as fast as {first}, errors equal")
            aim = 1.8 if workers == 2 else None
            figures.append(Figure(f"{workers} workers: speed", walls[first] / walls[workers], least=aim))
    return finish(*figures)


def trial_of(*overrides: str) -> Trial:
    return build(compose("experiment=paper_imbalanced", *overrides))


def write_folders(root: Path, table: str, seeds: list[int], given: Path | None) -> int:
    """``root/<table>/<method>`` in the published layout; the number of files of rows that were given."""
    copied = 0
    made = {m: trial_of(f"data={table}", f"method={'smote' if m == 'llm' else m}") for m in METHODS}
    for method, trial in made.items():
        for seed in seeds:
            split = trial.task.split(trial.table, seed)
            folder = root / table / method
            write_split(trial.table, split, folder)
            name = f"train_generate_colsbase_rand{seed}.csv"
            if given and (file := given / table / method / name).is_file():
                (folder / name).write_bytes(file.read_bytes())
                copied += 1
            else:
                other = trial.task.split(trial.table, 1000 + seed).train if method == "llm" else split.train
                trial.method.sample(other, len(split.train.frame)).frame.to_csv(folder / name, index=False)
    return copied


def fits_alone(root: Path, options: argparse.Namespace) -> tuple[int, float, float]:
    """Number, wall and CPU seconds of all fits and predictions of the suite, without anything around them."""
    jobs = []
    for table in options.tables:
        for method in METHODS:
            for classifier in options.classifiers:
                overrides = f"data={table}", f"paper.folder={root / table / method}", f"classifier={classifier}"
                trial = trial_of(*overrides)
                for seed in options.seeds:
                    split = trial.task.split(trial.table, seed)
                    steps = trial.amounts(len(split.train.frame))
                    rows = trial.method.sample(split.train, max(steps)).frame
                    for amount in steps:
                        train = pd.concat([split.train.frame, rows.iloc[:amount]])
                        x, y = arrays(train, trial)
                        jobs.append((trial.classifier.estimator(), x, y, arrays(split.test, trial)[0]))
    for estimator, x, y, test in jobs[:: max(len(jobs) // 12, 1)]:  # imports and first calls do not count
        estimator.fit(x, y).predict_proba(test)
    wall, cpu = time.perf_counter(), time.process_time()
    for estimator, x, y, test in jobs:
        estimator.fit(x, y).predict_proba(test)
    return len(jobs), time.perf_counter() - wall, time.process_time() - cpu


def arrays(frame: pd.DataFrame, trial: Trial) -> tuple[np.ndarray, np.ndarray]:
    target = trial.table.schema.target
    return frame.drop(columns=target).iloc[:, :-1].to_numpy(dtype=float), frame[target].to_numpy()


@dataclass(frozen=True)
class Took:
    """Seconds of a command with its processes, and the memory of the largest of them."""

    wall: float
    cpu: float
    peak: float  # MB

    def __str__(self) -> str:
        return f"{self.wall:.1f} s wall, {self.cpu:.1f} s CPU, peak {self.peak:.0f} MB"


def timed(command: list[str], cwd: Path) -> Took:
    """Run a command to its end; it must succeed."""
    path = os.pathsep.join([str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")])
    env = os.environ | {"PYTHONPATH": path, "OPAL_DATA_DIR": str(Path(os.environ["OPAL_DATA_DIR"]).absolute())}
    with (cwd / "output.txt").open("w+") as output:
        told = subprocess.run([sys.executable, "-c", TIMED, *command], cwd=cwd, env=env, stdout=-1, stderr=output)
        if told.returncode:
            output.seek(0)
            sys.exit(f"{' '.join(command)} failed:\n{output.read()[-3000:]}")
    return Took(*map(float, told.stdout.split()))


def suite(
    root: Path, tables: Sequence[str], classifiers: Sequence[str], seeds: Sequence[int], workers: int
) -> tuple[Took, list[str]]:
    """What the suite's one command took, and a digest of every run's errors."""
    folders = ",".join(f"{root}/rows/${{data.name}}/{method}" for method in METHODS)
    command = [sys.executable, "-m", "opal.run", "-m", "experiment=paper_imbalanced"]
    command += [f"classifier={','.join(classifiers)}", f"paper.folder={folders}"]
    command += [f"data={','.join(tables)}", f"seeds=[{','.join(map(str, seeds))}]"]
    if workers > 1:
        command += ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={workers}"]
    cwd = root / f"workers_{workers}"
    cwd.mkdir()
    took = timed(command, cwd)
    errors = sorted(cwd.glob("mlruns/opal/*/artifacts/errors.csv"))
    trials = len(METHODS) * len(tables) * len(classifiers)
    if len(errors) != trials:
        sys.exit(f"{len(errors)} of {trials} trials are recorded")
    digests = sorted(hashlib.sha256(file.read_bytes()).hexdigest() for file in errors)
    return took, digests


if __name__ == "__main__":
    sys.exit(main())
