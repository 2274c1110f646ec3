#!/usr/bin/env python
"""A trial of the embedded model that makes fits while rows are made, beside the sum of its parts.

    python scripts/bench_ahead.py [--repeats 1] [--seeds 1,2,3,4,5] [OVERRIDE ...]

The same trial twice in turn, each with an empty store of answers: all fits after all rows, whose time is the sum of
the parts; and fits ahead, in the background, as OPAL does. Wall clock: what is gained is the wait. Few rows meet many
fits here (2 rows an amount, a random forest, the default controls and folds); where rows take nearly all of the time,
as with logistic regression, there is next to nothing to gain. Errors must be equal. Some 7 minutes on two slow cores.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from unittest.mock import patch

import pandas as pd
from benchmark import Figure, finish, need_model, parse

from opal.config.build import build, compose
from opal.errors import OpalError
from opal.evaluate import fits
from opal.result import TrialResult

AIM = 0.75


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--repeats", type=int, default=1)
    arguments.add_argument("--seeds", default="1,2,3,4,5")
    arguments.add_argument("overrides", nargs="*", help="Hydra overrides, such as amounts.size=4")
    given = parse(arguments, seeds="1,2")
    need_model()
    ratios = []
    try:
        measured(given, "amounts.steps=1", "amounts.size=1", "seeds=[1]")  # the model is up, libraries are loaded
        for _ in range(given.repeats):
            with patch("opal.trial.stages.ahead", lambda wanted: fits.ahead(False)):
                parts, after = measured(given)
            whole, ahead = measured(given)
            pd.testing.assert_frame_equal(after.errors, ahead.errors)
            show("fits after rows", parts, after)
            show("fits ahead", whole, ahead)
            ratios.append(whole / parts)
    except OpalError as error:
        sys.exit(f"bench_ahead: {error}")
    note = f"{whole:.0f} and {parts:.0f} s"
    return finish(Figure("rows of a model with fits made meanwhile: wall", statistics.median(ratios), AIM, note=note))


def measured(given: argparse.Namespace, *more: str) -> tuple[float, TrialResult]:
    """Wall seconds and result of one trial, of which no answer and no fit is known."""
    fits._raw.clear()
    fixed = ["method=llm", "llm=local", "data=craft", "classifier=random_forest", "amounts.size=2"]
    with tempfile.TemporaryDirectory() as store:
        config = compose(*fixed, f"seeds=[{given.seeds}]", f"llm.store={store}", *given.overrides, *more)
        trial = build(config)
        start = time.perf_counter()
        result = trial.run()
        return time.perf_counter() - start, result


def show(name: str, seconds: float, result: TrialResult) -> None:
    stages = ", ".join(f"{stage} {took:.1f}" for stage, took in result.timings.items() if took >= 0.05)
    print(f"{name}: {seconds:.1f} s ({stages})", flush=True)


if __name__ == "__main__":
    sys.exit(main())
