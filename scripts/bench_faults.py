"""Kill sweeps at random moments, or log from many processes at once, and count what the store holds.

    python scripts/bench_faults.py kills --rounds 100
    python scripts/bench_faults.py many --processes 8 --runs 25 [--uri http://127.0.0.1:5000]

A round of `kills` starts a sweep of small trials and ends it after a random time (SIGKILL, SIGTERM or Ctrl-C); once
all trials are done, the sweep moves on to new seeds. At the end one last sweep is left alone, and then every trial must
be there once, whole, and none of a killed process still open. Exit status 1 where that is not so.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(ROOT))

from benchmark import Figure, finish, parse  # noqa: E402

from opal.record.run_record import RunRecord  # noqa: E402
from opal.record.tracking import Tracking  # noqa: E402

SETTINGS = ["data=craft", "controls=none", "amounts.steps=1", "amounts.size=5", "contamination=off", "fidelity=false"]


def sweep(seeds: range) -> list[str]:
    """The command of one sweep: a trial a seed."""
    trials = ",".join(f"[{s}]" for s in seeds)
    return [sys.executable, "-m", "opal.run", "-m", "method=none,duplicate", f"seeds={trials}", *SETTINGS]


def kills(folder: Path, rounds: int, size: int, most: float, rng: random.Random) -> bool:
    """Kill ``rounds`` sweeps of 2 x ``size`` trials within ``most`` seconds each; whether the store is whole."""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    quiet = {"cwd": folder, "env": env, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    seeds, ended = range(1, size + 1), Counter()
    for i in range(rounds):
        process = subprocess.Popen(sweep(seeds), start_new_session=True, **quiet)  # type: ignore[call-overload]
        try:
            process.wait(rng.uniform(0, most))
            ended["finished"] += 1
            seeds = range(seeds.start, seeds.stop + size)
        except subprocess.TimeoutExpired:
            how = rng.choice([signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
            os.killpg(process.pid, how)
            process.wait()
            ended[how.name] += 1
        print(f"round {i + 1}: {dict(ended)}", flush=True)
    last = subprocess.run(sweep(seeds), **quiet)  # type: ignore[call-overload]
    return report(Tracking(f"sqlite:///{folder}/mlflow.db"), 2 * len(seeds)) and last.returncode == 0


def many(folder: Path, uri: str, processes: int, runs: int, shared: bool) -> bool:
    """Log ``runs`` trials from each of ``processes``; ``shared``: every two of them have the same hashes."""
    hashes = [[f"{i // 2 if shared else i:02x}{r:062x}" for r in range(runs)] for i in range(processes)]
    context, start = multiprocessing.get_context("spawn"), time.perf_counter()
    workers = [context.Process(target=log_all, args=(folder, uri, part)) for part in hashes]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    seconds = time.perf_counter() - start
    expected = len({h for part in hashes for h in part})
    print(f"{processes} processes x {runs} runs: {seconds:.1f} s, {1000 * seconds / expected:.0f} ms a run")
    return report(Tracking(uri), expected) and all(w.exitcode == 0 for w in workers)


def log_all(folder: Path, uri: str, hashes: list[str]) -> None:
    """What one process logs: 60 points, 30 params, three artifacts a run."""
    os.chdir(folder)
    tracking = Tracking(uri)

    def write(artifacts: Path) -> None:
        for name in ("errors.csv", "summary.txt", "config.yaml"):
            (artifacts / name).write_text("x" * 1000)

    for config_hash in hashes:
        with tracking.claim(config_hash) as done:
            if done is None:
                metrics = [(f"m{i % 10}", i / 7, i // 10) for i in range(60)]
                params = {f"p{i}": i for i in range(30)}
                tracking.log(RunRecord(f"bench-{config_hash[:12]}", config_hash, "", params, metrics), write)


def report(tracking: Tracking, expected: int) -> bool:
    """Print what the store holds; whether each of ``expected`` trials is there once and whole."""
    runs = [r for r in tracking.runs() if r.data.tags.get("opal.kind") != "sweep"]
    finished = [r for r in runs if r.data.tags["opal.status"] == "finished" and r.info.status == "FINISHED"]
    hashes = {r.data.tags["opal.config_hash"] for r in finished}
    print(
        f"trials expected {expected}, finished {len(hashes)}, double {len(finished) - len(hashes)}, "
        f"marked interrupted {sum(r.data.tags['opal.status'] == 'interrupted' for r in runs)}, "
        f"left open {sum(r.info.status == 'RUNNING' for r in runs)}, "
        f"different numbers of metrics {len({len(r.data.metrics) for r in finished})}, "
        f"pending {len(list((tracking.mlruns / 'pending').glob('*')))}"
    )
    return len(hashes) == len(finished) == expected and all(r.info.status != "RUNNING" for r in runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("kills", "many"), default="kills")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--trials", type=int, default=3, help="seeds added when a sweep ends by itself")
    parser.add_argument("--seconds", type=float, default=15, help="longest life of a sweep")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--runs", type=int, default=25)
    parser.add_argument("--shared", action="store_true", help="for many: every two processes have the same trials")
    parser.add_argument("--uri", help="for many; default: a SQLite file in a new folder")
    given = parse(parser, rounds=4, processes=2, runs=5)
    with tempfile.TemporaryDirectory(prefix="opal-faults-") as name:
        folder = Path(name)
        if given.what == "kills":
            whole = kills(folder, given.rounds, given.trials, given.seconds, random.Random(given.seed))
        else:
            whole = many(
                folder, given.uri or f"sqlite:///{folder}/mlflow.db", given.processes, given.runs, given.shared
            )
    print("whole" if whole else "NOT whole")
    sys.exit(finish(Figure(f"{given.what}: every trial there once and whole", float(whole), least=1)))


if __name__ == "__main__":
    main()
