"""Does curation pay? Error after training on curated rows minus that on the same method's rows as they come.

    python scripts/bench_curation.py
    python scripts/bench_curation.py --data wine digits --methods smote --seeds 10 --classifier catboost
    python scripts/bench_curation.py --methods llm --seeds 3

Tables are scikit-learn's own, never those of the published study, so that nothing is tuned on its test rows. Each
line is the paired difference at the amount that balances train, mean over seeds, interval over tables; negative is
better. A filter pays where the whole interval lies below zero. The method llm asks the embedded model, whose answers
are stored.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd
from benchmark import Figure, finish, parse

from opal.config.build import compose, instantiate
from opal.evaluate.curve import Amounts
from opal.evaluate.verdict import confidence_interval
from opal.tasks.imbalanced import Imbalanced
from opal.trial import Trial

TRAIN, SHARE = 60, 0.2  # 12 minority rows, 36 more balance them
FILTERS = ("none", "dedup", "neighbour", "confidence", "schema", "agreement", "strict")
MEASURES = ("error", "balanced_error")


def main() -> None:
    """Run every filter over every table and method; print the table."""
    args = arguments()
    start, records = time.perf_counter(), []
    for data in args.data:
        for method in args.methods:
            for curation in args.curate:
                records += measured(data, method, curation, args)
    found = pd.DataFrame(records)
    print(table_of(found, args.curate).to_string(index=False))
    errors = found.groupby(["method", "curate"])["balanced_error"].mean()
    print(f"{len(args.data)} tables, {args.seeds} seeds each, {args.classifier}: {time.perf_counter() - start:.0f} s")
    finish(
        *(
            Figure(
                f"{method}, curate={name} beside none: balanced error", errors[method, name] / errors[method, "none"]
            )
            for method in args.methods
            for name in args.curate
            if name != "none" and "none" in args.curate
        )
    )


def measured(data: str, method: str, curation: str, args: argparse.Namespace) -> list[dict]:
    """The errors of one trial at the amount that balances train, and the rows that curation left."""
    chosen = [f"data.name={data}", f"method={method}", f"curate={curation}", f"classifier={args.classifier}"]
    config = compose("data=sklearn", *chosen)
    table, oversampler, classifier, curate = (
        instantiate(config, section) for section in ("data", "method", "classifier", "curate")
    )
    wanted = round(TRAIN * (1 - 2 * SHARE))
    task = Imbalanced(train_rows=TRAIN, minority_share=SHARE)
    result = Trial(
        table,
        task,
        oversampler,
        classifier,
        range(1, args.seeds + 1),
        Amounts(steps=1, size=wanted),
        contamination="off",
        curation=curate,
        fidelity=False,
    ).run()
    out = []
    for seed, rows in result.rows.items():
        mine = result.errors[(result.errors["seed"] == seed) & (result.errors["amount"] == wanted)]
        values = mine.set_index("metric")["value"]
        left_out = sum(rows.funnel.rejects.values()) / max(1, rows.funnel.requested)
        out.append(
            {"data": data, "method": method, "curate": curation, "seed": seed, "left out": left_out}
            | {m: values.get(m, np.nan) for m in MEASURES}
        )
    return out


def table_of(found: pd.DataFrame, filters: list[str]) -> pd.DataFrame:
    """One line a method and filter: mean paired difference to ``none`` with its 95 % interval."""
    lines = []
    for method, part in found.groupby("method", sort=False):
        wide = part.set_index(["data", "seed", "curate"])[list(MEASURES)].unstack()
        for curation in filters:
            line = {"method": method, "curate": curation}
            line["left out"] = f"{part.loc[part['curate'] == curation, 'left out'].mean():.0%}"
            for measure in MEASURES:
                values = wide[measure]
                if curation == "none" or "none" not in values:
                    line[measure] = f"{values[curation].mean():.4f}"
                    continue
                gap = (values[curation] - values["none"]).dropna().groupby("data").mean()
                low, high = confidence_interval(gap.to_numpy())
                line[measure] = f"{gap.mean():+.4f} ({low:+.4f} to {high:+.4f})" if len(gap) else "no rows left"
            lines.append(line)
    return pd.DataFrame(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["breast_cancer", "wine", "iris"], metavar="TABLE")
    parser.add_argument("--methods", nargs="+", default=["duplicate", "smote"])
    parser.add_argument("--curate", nargs="+", default=list(FILTERS[:4]), choices=FILTERS)
    parser.add_argument("--classifier", default="logistic")
    parser.add_argument("--seeds", type=int, default=2)
    return parse(parser, data=["wine"], methods=["smote"])


if __name__ == "__main__":
    main()
