"""A long sweep on one machine: does every job become a run, and do memory, files and processes stay flat?

python scripts/bench_sweep.py                      1,000 jobs in one process
python scripts/bench_sweep.py --jobs 200 --workers 2

Each job is a small trial of its own (data=craft, one seed, method=duplicate, no figures). The sweep's process
and all its children are looked at every second; figures come from a tenth of the jobs on, when everything is loaded.
Exits 1 where a run is missing or a process is left behind.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from benchmark import Figure, finish, parse


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=1)
    options = parse(parser, jobs=20)
    with tempfile.TemporaryDirectory() as folder:
        log, seconds, left, code = sweep(Path(folder), options)
        runs = finished(Path(folder))
    log = log[log["runs"] >= options.jobs // 10]
    tenth = max(options.jobs // 10, 1)
    print(f"{runs} of {options.jobs} runs finished, exit {code}, {seconds:.0f} s, {options.workers} worker(s)")
    print(f"processes: most {log['processes'].max()}, left behind {left}")
    figures = [Figure(f"sweep of {options.jobs:,} jobs: share recorded", runs / options.jobs, least=1)]
    for name, unit in (("memory", "MB"), ("files", "open files")):
        first, last = log[name].head(tenth).median(), log[name].tail(tenth).median()
        figures.append(Figure(f"sweep of {options.jobs:,} jobs: {name} at last beside at first", last / first, 1.25))
        slope = np.polyfit(log["runs"], log[name], 1)[0]
        print(f"{name}: {first:.0f} {unit} at first, {last:.0f} at last, {1000 * slope:+.0f} per 1,000 runs")
    half = log[log["runs"] <= log["runs"].median()]
    rest = log.drop(half.index)
    print(f"seconds per job: {per_job(half):.2f} in the first half, {per_job(rest):.2f} in the second")
    figures.append(Figure("second half beside the first: seconds a job", per_job(rest) / per_job(half), 1.25))
    return int(finish(*figures) or left > 0)


def sweep(folder: Path, options: argparse.Namespace) -> tuple[pd.DataFrame, float, int, int]:
    """What was seen every second, the sweep's seconds, processes left behind, exit status."""
    small = ["method=duplicate", "controls=none", "validation.folds=0", "fidelity=false", "figures=false"]
    command = [sys.executable, "-m", "opal.run", "-m", *small]
    command += [f"seeds={','.join(f'[{seed}]' for seed in range(options.jobs))}"]
    if options.workers > 1:
        command += ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={options.workers}"]
    path = os.pathsep.join([str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")])
    env = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    start, log = time.perf_counter(), []
    seen: set[psutil.Process] = set()
    with (folder / "log").open("w") as out:
        process = psutil.Popen(command, cwd=folder, env=env, stdout=out, stderr=out)
        while process.poll() is None:
            time.sleep(1)
            log.append(look(process, seen) | {"second": time.perf_counter() - start, "runs": recorded(folder)})
    seconds = time.perf_counter() - start
    time.sleep(2)
    left = sum(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in seen)
    if process.returncode:
        print((folder / "log").read_text()[-2000:], file=sys.stderr)
    return pd.DataFrame(log), seconds, left, process.returncode


def look(process: psutil.Process, seen: set[psutil.Process]) -> dict[str, float]:
    """Unshared memory, open files and number of the sweep's processes now."""
    memory = files = count = 0
    with suppress(psutil.NoSuchProcess):
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                memory += one.memory_full_info().uss / 1e6
                files += one.num_fds()
                count += 1
                seen.add(one)
    return {"memory": memory, "files": files, "processes": count}


def recorded(folder: Path) -> int:
    return sum(1 for _ in folder.glob("mlruns/opal/*/artifacts/summary.txt"))


def finished(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "mlflow.db")) as store:
        trials = "SELECT run_uuid FROM tags WHERE key = 'opal.kind' AND value = 'trial'"
        return store.execute(
            f"SELECT count(*) FROM runs WHERE status = 'FINISHED' AND run_uuid IN ({trials})"
        ).fetchone()[0]


def per_job(log: pd.DataFrame) -> float:
    return (log["second"].iloc[-1] - log["second"].iloc[0]) / max(log["runs"].iloc[-1] - log["runs"].iloc[0], 1)


if __name__ == "__main__":
    sys.exit(main())
