#!/usr/bin/env python
"""`opal.run` on large tables, stage by stage: CPU seconds, their share of the classifier's own fits, peak memory.

python scripts/bench_million.py                                       10,000, 100,000 and 1,000,000 rows, side by side
python scripts/bench_million.py --rows 20000 200000 --trial method=duplicate classifier=hist_gradient_boosting

One tracked run with one seed a size, in a process of its own, read from a CSV file: six real and two whole-number
columns, three of names (40, 5 and 2 levels, some missing), a label that 1 % of the rows have. A stage counts what no
stage inside it counts. `fits` and `predictions` are the estimator's own, controls and validation folds among them;
`encoding` is what `Classifier` adds to them. The last column is the power of the rows that the CPU seconds of the last
two sizes follow: 1 is linear. Fits take most of it by far: `classifier=catboost` on one thread needs hours.
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
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from math import log
from pathlib import Path
from typing import Any

from benchmark import Figure, finish, parse

STAGES = {  # where the work of a stage begins
    "reading": ["opal.data.load_csv"],
    "hash": ["opal.table.frame_digest"],
    "split": ["opal.tasks.base.Task.split"],
    "rows": ["opal.methods.base.Oversampler.sample"],
    "encoding": ["opal.evaluate.Classifier.fit", "opal.evaluate.classifiers.Fitted.predict_proba"],
    "fits": [],
    "predictions": [],
    "measures": ["opal.evaluate.curve.score"],
    "contamination": ["opal.trial.measures.contamination"],
    "fidelity": ["opal.trial.measures.add_fidelity"],
    "figures": ["opal.report.run_artifacts.Drawing.of", "opal.report.run_artifacts.Drawing.__call__"],
    "artifacts": ["opal.record.Tracking.begin"],
    "other": [],
}
DEFAULT = ["method=smote", "classifier=logistic"]


class Clock:
    """CPU seconds by stage, each less those of the stages within."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.stack, self.since = ["other"], time.process_time()

    def turn(self) -> None:
        now = time.process_time()
        self.seconds[self.stack[-1]] += now - self.since  # type: ignore[assignment]
        self.since = now

    def timed(self, stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.turn()
            self.stack.append(stage)
            try:
                return work(*args, **kwargs)
            finally:
                self.turn()
                self.stack.pop()

        return call

    def watch(self) -> None:
        """Put the stages around what they name, and the estimators' own work apart from OPAL's."""
        from opal.evaluate.classifiers import Classifier

        fit = Classifier.fit

        def made(make: Callable[..., Any]) -> Any:
            estimator = make()
            estimator.fit = self.timed("fits", estimator.fit)
            estimator.predict_proba = self.timed("predictions", estimator.predict_proba)
            return estimator

        def watched(classifier: Classifier, *args: Any, **kwargs: Any) -> Any:
            return fit(replace(classifier, estimator=partial(made, classifier.estimator)), *args, **kwargs)

        setattr(Classifier, "fit", watched)  # noqa: B010
        for stage, places in STAGES.items():
            for place in places:
                owner, name = _owner(place)
                setattr(owner, name, self.timed(stage, getattr(owner, name)))


def _owner(place: str) -> tuple[Any, str]:
    path, name = place.rsplit(".", 1)
    try:
        return import_module(path), name
    except ModuleNotFoundError:
        module, cls = path.rsplit(".", 1)
        return getattr(import_module(module), cls), name


def table(n: int) -> Any:
    """The made-up table, as a frame."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(n, 6)).round(4), columns=[f"x{i}" for i in range(6)])
    frame["age"], frame["visits"] = rng.integers(18, 90, n), rng.poisson(3, n)
    frame["city"] = np.array([f"city {i}" for i in range(40)])[(40 * rng.random(n) ** 2).astype(int)]
    frame["plan"] = rng.choice(["basic", "plus", "pro", "team", "free"], n)
    frame["smoker"] = np.where(rng.random(n) < 0.2, "yes", "no")
    score = 1.2 * frame["x0"] - frame["x1"] + 0.03 * frame["age"] + 0.8 * (frame["plan"] == "pro") + rng.normal(size=n)
    frame.loc[rng.random(n) < 0.05, "plan"] = np.nan
    return frame.assign(label=np.where(score > np.quantile(score, 0.99), "ill", "well"))


def one(n: int, trial: list[str]) -> dict[str, Any]:
    """Run the trial on ``n`` rows in this process and the present folder."""
    frame = table(n)
    in_memory = int(frame.memory_usage(deep=True).sum())
    frame.to_csv("table.csv", index=False)
    del frame
    sys.argv = ["opal.run", "data=csv", "data.path=table.csv", "data.target=label", "seeds=[1]", *trial]
    start, clock = time.process_time(), Clock()
    import opal.run
    from opal import helper

    helper.start = lambda: None  # all of it in this process
    clock.watch()
    opal.run.main()
    clock.turn()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"cpu": time.process_time() - start, "stages": clock.seconds, "peak": peak, "table": in_memory}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--trial", nargs="+", default=DEFAULT, help=f"overrides; default: {' '.join(DEFAULT)}")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parse(parser, rows=[5_000, 20_000])
    if options.alone:
        Path("found.json").write_text(json.dumps(one(options.rows[0], options.trial)))
        return 0
    found = [apart(n, options.trial) for n in options.rows]
    print(f"{' '.join(options.trial)}, one seed; CPU seconds, and times the estimators' own fits")
    print(f"{'rows':<14}" + "".join(f"{n:>20,}" for n in options.rows) + f"{'power':>8}")
    for stage in [*STAGES, "all"]:
        seconds = [f["cpu"] if stage == "all" else f["stages"].get(stage, 0.0) for f in found]
        fits = [f["stages"].get("fits", 0.0) for f in found]
        cells = [f"{s:>11.2f} s {s / fit:>5.2f} x" for s, fit in zip(seconds, fits, strict=True)]
        print(f"{stage:<14}" + "".join(cells) + _power(seconds, options.rows))
    peaks = [f"{f['peak'] / 2**20:>7.0f} MiB {f['peak'] / f['table']:>6.1f} x" for f in found]
    print(f"{'peak memory':<14}" + "".join(peaks) + "   times the table in memory")
    last, rows = found[-1], f"a run on {options.rows[-1]:,} rows"
    cpu = Figure(f"{rows} beside its fits: CPU", last["cpu"] / last["stages"]["fits"], note=f"{last['cpu']:.0f} s")
    memory = Figure(
        f"{rows} beside the table: memory", last["peak"] / last["table"], note=f"{last['peak'] / 2**20:.0f} MiB"
    )
    return finish(cpu, memory)


def _power(seconds: list[float], rows: list[int]) -> str:
    if len(rows) < 2 or min(seconds[-2:]) <= 0:
        return ""
    return f"{log(seconds[-1] / seconds[-2]) / log(rows[-1] / rows[-2]):>8.2f}"


def apart(n: int, trial: list[str]) -> dict[str, Any]:
    """What ``one`` finds in a process and a folder of its own."""
    path = os.pathsep.join([str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, str(Path(__file__).resolve()), "--alone", "--rows", str(n), "--trial", *trial]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | {"PYTHONPATH": path},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        found = Path(folder) / "found.json"
        if not found.exists():
            sys.exit(f"{' '.join(command)} failed:\n{done.stderr.decode()[-2000:]}")
        return json.loads(found.read_text())


if __name__ == "__main__":
    sys.exit(main())
