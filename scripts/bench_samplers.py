#!/usr/bin/env python
"""OpalSampler beside imbalanced-learn's own samplers: CPU seconds and peak memory, as ratios.

    python scripts/bench_samplers.py [--rows 200000] [--columns 10] [--frame] [--repeats 3]

The aim is at most 1.1 times the time and twice the memory. The best of the repeats counts, in turns, so that a busy
machine troubles both alike. Exits 1 where an aim is missed.
"""

from __future__ import annotations

import argparse
import sys
import time
import tracemalloc
from typing import Any

import numpy as np
import pandas as pd
from benchmark import Figure, finish, parse
from imblearn.over_sampling import SMOTE, RandomOverSampler

from opal import OpalSampler

MOST_TIME, MOST_MEMORY = 1.1, 2.0


def measure(sampler: Any, x: Any, y: np.ndarray, memory: bool) -> float:
    """CPU seconds, or peak MiB, of one ``fit_resample``."""
    if not memory:
        start = time.process_time()
        sampler.fit_resample(x, y)
        return time.process_time() - start
    tracemalloc.start()
    sampler.fit_resample(x, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--columns", type=int, default=10)
    parser.add_argument("--frame", action="store_true", help="a DataFrame instead of an array")
    parser.add_argument("--repeats", type=int, default=3)
    args = parse(parser, rows=50_000, repeats=2)
    rng = np.random.default_rng(0)
    x: Any = rng.normal(size=(args.rows, args.columns))
    y = (rng.random(args.rows) < 0.1).astype(int)
    if args.frame:
        x = pd.DataFrame(x, columns=[f"c{i}" for i in range(args.columns)])
    figures = []
    for theirs, name in ((RandomOverSampler(), "duplicate"), (SMOTE(), "smote")):
        ours = OpalSampler(name)
        ours.fit_resample(x[:1000], y[:1000])  # imports and configuration
        seconds = [[measure(s, x, y, False) for s in (theirs, ours)] for _ in range(args.repeats)]
        memory = [measure(s, x, y, True) for s in (theirs, ours)]
        time_ratio = min(s[1] for s in seconds) / min(s[0] for s in seconds)
        print(
            f"{name}: {min(s[1] for s in seconds):.3f} CPU-s, {time_ratio:.2f} times imbalanced-learn's; "
            f"peak {memory[1]:.0f} MiB, {memory[1] / memory[0]:.2f} times"
        )
        beside = f"{name} beside imbalanced-learn's, {args.rows:,} rows"
        figures.append(Figure(f"{beside}: CPU", time_ratio, MOST_TIME))
        figures.append(Figure(f"{beside}: memory", memory[1] / memory[0], MOST_MEMORY, note=f"{memory[1]:.0f} MiB"))
    return finish(*figures)


if __name__ == "__main__":
    sys.exit(main())
