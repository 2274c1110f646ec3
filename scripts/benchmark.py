"""What all benchmarks share: their figures and aims, the machine, `scripts/bench`, the table in BENCHMARKS.md.

scripts/bench                        every benchmark in order of usefulness, within an hour
scripts/bench --minutes 10 --quick   smaller ones
scripts/bench overhead samplers      these alone

Results are kept in benchmarks.json, and the table of BENCHMARKS.md is written from it. Exits 1 where a benchmark
failed, or a ratio is worse than the last one of the same command by more than NOISE; the last one then stays, unless
--accept is given. A benchmark that lacks what it needs is left out, with the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

NOISE = 1.25
SKIPPED = 77  # exit status, as automake has it
LINE = "benchmark: "  # before what a script hands to scripts/bench
BEGIN, END = "<!-- scripts/bench writes from here -->", "<!-- to here -->"
ORDER = ["overhead", "compare", "samplers", "suite", "study", "profile", "threads", "llm", "ahead"]
ORDER += ["million", "faults", "sweep", "answers", "curation"]  # of many minutes
PACKAGES = ("opal", "numpy", "pandas", "scikit-learn", "imbalanced-learn", "catboost", "mlflow", "hydra-core")


@dataclass(frozen=True)
class Figure:
    """One ratio, or share, with its aim.

    Parameters
    ----------
    most, least : the aim; where neither is given, less is better
    note : seconds and sizes behind the ratio
    """

    name: str
    ratio: float
    most: float | None = None
    least: float | None = None
    note: str = ""

    @property
    def met(self) -> bool:
        return not ((self.most is not None and self.ratio > self.most) or (self.least or 0) > self.ratio)

    @property
    def aim(self) -> str:
        words = [
            f"{word} {aim:g}" for word, aim in (("at most", self.most), ("at least", self.least)) if aim is not None
        ]
        return f"{' and '.join(words)}: {'met' if self.met else 'missed'}" if words else ""

    def worse(self, last: Figure) -> float:
        """How many times worse than the last one; 1 where that has no meaning."""
        new, old = (last.ratio, self.ratio) if self.least is not None else (self.ratio, last.ratio)
        return new / old if new > 0 and old > 0 else 1.0


def parse(parser: argparse.ArgumentParser, **quick: Any) -> argparse.Namespace:
    """The arguments of a benchmark; ``--quick`` sets those of ``quick``."""
    shown = ", ".join(f"{name}={value}" for name, value in quick.items())
    parser.add_argument("--quick", action="store_true", help=f"a smaller one: {shown}")
    given = parser.parse_args()
    vars(given).update(quick if given.quick else {})
    return given


def finish(*figures: Figure) -> int:
    """Print machine, versions, ratios and aims; returns the exit status: 1 where an aim is missed."""
    print("\n" + described(where := {"machine": machine(), "versions": {name: version(name) for name in PACKAGES}}))
    for figure in figures:
        print(f"{figure.name}: {figure.ratio:.2f} ({figure.aim or 'no aim'})")
    print(
        LINE + json.dumps(where | {"figures": [asdict(f) | {"ratio": round(f.ratio, 4)} for f in figures]}), flush=True
    )
    return int(not all(figure.met for figure in figures))


def skip(reason: str) -> NoReturn:
    """Leave a benchmark out."""
    print(f"left out: {reason}")
    sys.exit(SKIPPED)


def need_model() -> None:
    """Leave the benchmark out where the embedded model is not installed."""
    if find_spec("xllamacpp") is None:
        skip("the embedded model is not installed (pip install opal[local])")


def machine() -> str:
    """Processor, cores, memory, system."""
    cpu = Path("/proc/cpuinfo")
    models = [line.partition(": ")[2] for line in cpu.read_text().splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return f"{(models or [platform.machine()])[0]}, {cores} cores, {memory:.0f} GB, Python {platform.python_version()}"


def described(entry: dict[str, Any]) -> str:
    return f"{entry['machine']}; " + ", ".join(f"{name} {number}" for name, number in entry["versions"].items())


def figures_of(entry: dict[str, Any]) -> list[Figure]:
    return [Figure(**figure) for figure in entry.get("figures", [])]


def run(script: Path, quick: bool, seconds: float) -> dict[str, Any] | str:
    """What a script found, or why it found nothing."""
    command = [sys.executable, str(script), *(["--quick"] if quick else [])]
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    start, busy = time.perf_counter(), os.getloadavg()[0]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=env, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return "left out: the time was up"
    print(done.stdout, flush=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith(LINE)]
    if not lines:
        return done.stdout.strip() if done.returncode == SKIPPED else f"FAILED with exit status {done.returncode}"
    took = {"date": str(date.today()), "seconds": round(time.perf_counter() - start), "load": round(busy, 1)}
    return took | json.loads(lines[-1].removeprefix(LINE))


def table(results: dict[str, dict[str, Any]]) -> str:
    """All results in Markdown; a smaller benchmark's only where the whole one has none."""
    lines = ["| what | command | ratio | aim | measured |", "| --- | --- | --- | --- | --- |"]
    for command, entry in results.items():
        if command.endswith(" --quick") and command.removesuffix(" --quick") in results:
            continue
        busy = f", load {entry['load']:g}" if entry["load"] > 1 else ""
        for figure in figures_of(entry):
            note = f" ({figure.note})" if figure.note else ""
            cells = [figure.name, f"`{command}`", f"{figure.ratio:.2f}{note}", figure.aim, f"{entry['date']}{busy}"]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *sorted({described(entry) for entry in results.values()})])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="benchmarks; default: all")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--accept", action="store_true", help="replace the last ratios by worse ones")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1], help=argparse.SUPPRESS)
    given = parser.parse_args()
    kept, page = given.root / "benchmarks.json", given.root / "BENCHMARKS.md"
    results = json.loads(kept.read_text()) if kept.exists() else {}
    scripts = {path.stem.removeprefix("bench_"): path for path in sorted((given.root / "scripts").glob("bench_*.py"))}
    if unknown := set(given.names) - set(scripts):
        sys.exit(f"scripts/bench: {', '.join(sorted(unknown))} is none of {', '.join(scripts)}")
    order = sorted(given.names or scripts, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))
    end, said, bad = time.monotonic() + 60 * given.minutes, [], False
    for name in order:
        command = f"scripts/bench_{name}.py{' --quick' * given.quick}"
        last, left = results.get(command, {}), end - time.monotonic()
        if left < last.get("seconds", 1):
            said.append(f"{command}: left out: {max(left, 0):.0f} s are left")
            continue
        print(f"== {command}", flush=True)
        found = run(scripts[name], given.quick, left)
        if isinstance(found, str):
            bad |= found.startswith("FAILED")
            said.append(f"{command}: {found}")
            continue
        before = {figure.name: figure for figure in figures_of(last)}
        worse = [(f, f.worse(before[f.name])) for f in figures_of(found) if f.name in before]
        worse = [(f, times) for f, times in worse if times > NOISE]
        said += [f"{command}: {f.name}: {before[f.name].ratio:.2f} became {f.ratio:.2f}" for f, _ in worse]
        bad |= bool(worse) and not given.accept
        if given.accept or not worse:
            results[command] = found
            kept.write_text(json.dumps(results, indent=1) + "\n")
    text = page.read_text(encoding="utf-8")
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n\n{table(results)}\n\n{END}{after}", encoding="utf-8")
    print("\n".join(["", table(results), *said]))
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
