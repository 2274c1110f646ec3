"""Disturb sweeps at random moments, or log from many processes at once, and count what the store holds.

    python scripts/bench_faults.py chaos --rounds 200 --seed 0 [--kinds local workers endpoint]
    python scripts/bench_faults.py kills --rounds 100
    python scripts/bench_faults.py many --processes 8 --runs 25 [--uri http://127.0.0.1:5000]

A round of `chaos` starts a sweep of small trials and ends it after a random time (SIGKILL, SIGTERM or Ctrl-C to its
process group), unless it has ended; once all its trials are done, the next ones have new seeds. Kinds, each in a
temporary folder of its own and with an equal share of the rounds:

    plain      method=none,duplicate; this alone is `kills`
    local      rows from the embedded model
    workers    jobs in processes, fits in threads
    endpoint   rows from a FAKE endpoint that bills every request it gets
    disk       the same, on a small tmpfs that another writer fills and frees
    clock      the clock of the processes jumps (the machine's stays as it is)
    server     an MLflow server is killed and started again
    two        two sweeps of the same trials at once, one of them killed
    two_on_disk  both on a small tmpfs that another writer fills and frees

At the end of a kind one last sweep is left alone. Then every trial must be there once, whole and finished; no run may
be open, no result pending, no stored answer damaged, no process left. No answer that was stored may be billed again; of
those in flight when a sweep died (as many as it sends at once) each may. Exit status 1 where one of this is not so; the
folder with the sweeps' output is then kept.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import re
import shutil
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

import chaos_endpoint  # noqa: E402
import chaos_faults  # noqa: E402
import chaos_kinds  # noqa: E402
from benchmark import Figure, finish, parse  # noqa: E402
from chaos_checks import look  # noqa: E402

from opal.errors import TrackingError  # noqa: E402
from opal.record.run_record import RunRecord  # noqa: E402
from opal.record.tracking import Tracking  # noqa: E402

KINDS = chaos_kinds.ALL | chaos_endpoint.ALL | chaos_faults.ALL


def chaos(name: str, rounds: int, seed: int, keep: bool = False) -> bool | None:
    """Disturb ``rounds`` sweeps of a kind; whether all is well afterwards, or None where this machine cannot."""
    folder = Path(tempfile.mkdtemp(prefix=f"opal-chaos-{name}-"))
    kind = KINDS[name](folder, random.Random(f"{name} {seed}"))
    began = time.perf_counter()
    try:
        with kind.ready():
            with kind.disturbed():
                for i in range(rounds):
                    kind.round()
                    print(f"{name} {i + 1}: {dict(kind.ended)}", file=sys.stderr, flush=True)
            whole = ended_well(kind, name, time.perf_counter() - began)
    except chaos_kinds.Unable as reason:
        print(f"{name}: left out: {reason}")
        whole = None
    if whole is False or keep:
        print(f"{name}: {'whole' if whole else 'NOT whole'}, kept in {folder}", flush=True)
    else:
        shutil.rmtree(folder)
    return whole


def ended_well(kind: chaos_kinds.Kind, name: str, seconds: float) -> bool:
    """Let one sweep run alone, then print all counts; whether nothing is wrong."""
    code = kind.start(kind.seeds).wait()
    chaos_kinds.Kind.count_left(kind)
    given = {"cwd": kind.work, "env": kind.env, "capture_output": True, "text": True, "check": False}
    store = subprocess.run([sys.executable, "-m", "opal.store"], **given)  # type: ignore[call-overload]
    os.environ["MLFLOW_TRACKING_URI"] = kind.uri
    os.chdir(kind.work)
    try:
        found = look(Tracking(kind.uri), kind.methods * len(kind.seeds), kind.temporary)
    except TrackingError as fault:
        print(f"{name}: {fault}", flush=True)
        return False
    finally:
        os.chdir(ROOT)
    twice = kind.billed_twice()
    said = [f"{kind.ended.total()} sweeps in {seconds:.0f} s", *(f"{n} {how}" for how, n in sorted(kind.ended.items()))]
    said += [str(found), f"processes left {kind.left}", kind.told(), twice]
    log = kind.log.read_text(errors="replace")
    ends = Counter(re.findall(r"^Traceback \(most recent.*\n(?: .*\n)*(.*)", log, re.M))
    said.append(f"tracebacks {ends.total()}" + "".join(f", {n} of {end[:100]}" for end, n in ends.items()))
    said += [f"last sweep: exit status {code}"] * bool(code)
    said += [f"opal store: {store.stdout[-500:]}{store.stderr}"] * (store.returncode or "wait to be" in store.stdout)
    print(f"{name}: {', '.join(filter(None, said))}", flush=True)
    bad = code or store.returncode or "wait to be" in store.stdout or twice or kind.left or kind.ended["hung"]
    return found.whole and not bad


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
    found = look(Tracking(uri), expected)
    print(found)
    return found.whole and all(w.exitcode == 0 for w in workers)


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("chaos", "kills", "many"), default="kills")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND", help="for chaos")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and signals")
    parser.add_argument("--keep", action="store_true", help="for chaos: keep the folders in any case")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--runs", type=int, default=25)
    parser.add_argument("--shared", action="store_true", help="for many: every two processes have the same trials")
    parser.add_argument("--uri", help="for many; default: a SQLite file in a new folder")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs, and so sweeps, ignore Ctrl-C
    given = parse(parser, rounds=4, processes=2, runs=5)
    if given.what == "many":
        with tempfile.TemporaryDirectory(prefix="opal-faults-") as name:
            uri = given.uri or f"sqlite:///{name}/mlflow.db"
            whole = many(Path(name), uri, given.processes, given.runs, given.shared)
    else:
        kinds = given.kinds if given.what == "chaos" else ["plain"]
        shares = [given.rounds // len(kinds) + (i < given.rounds % len(kinds)) for i in range(len(kinds))]
        found = [chaos(kind, share, given.seed, given.keep) for kind, share in zip(kinds, shares, strict=True)]
        whole = False not in found
    print("whole" if whole else "NOT whole")
    sys.exit(finish(Figure(f"{given.what}: every trial there once and whole", float(whole), least=1)))


if __name__ == "__main__":
    main()
