"""What the report's template asks of the results: sentences, figures with their intervals, and tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import analysis
import figures
import pandas as pd
from analysis import BASE, LLM, MAIN, at, gaps

from opal.evaluate.verdict import confidence_interval
from opal.report.answer import markdown_table
from opal.report.ranks import Ranks, rank

CLASSIFIERS = ("logistic", "catboost", "random_forest")
ADVISED = (*CLASSIFIERS, "hist_gradient_boosting")
COMPARED = ["smote", "gaussian_copula", LLM]
LEFT_OUT = ("nothing", "free: duplicate", "free: smote")  # the last two are duplicate and smote once more
SIZES, MINORITIES = (50, 100, 200), (5, 10, 20)
METRICS = ("balanced_error", "error", "roc_auc", "average_precision", "f1")
# Mean F1 of CatBoost over 73 tables: Elor and Averbuch-Elor, "To SMOTE, or not to SMOTE?", arXiv 2201.08528v3, table 3.
ELOR = {"nothing": 0.444, "free: tuned_threshold": 0.532, "free: duplicate": 0.525, "free: smote": 0.529}


class Study:
    """The results, with what the template asks of them."""

    def __init__(self, folder: Path) -> None:
        self.tidy = pd.read_parquet(folder / "results.parquet")
        self.tidy["metric"] = self.tidy["metric"].astype(str)
        self.tidy["method"] = self.tidy["method"].astype(str)
        self.runs = pd.read_csv(folder / "runs.csv")
        self.tables = pd.read_csv(folder / "tables.csv")
        self.errors = {metric: analysis.test_errors(self.tidy, metric) for metric in METRICS}
        chosen = analysis.recommended(self.tidy, COMPARED)
        self.regrets = analysis.regrets(self.errors["balanced_error"], chosen)

    def cell(self, classifier: str, metric: str = "balanced_error", size: tuple[int, int] = MAIN) -> pd.DataFrame:
        return at(self.errors[metric], size, classifier)

    def actions(self, classifier: str) -> list[str]:
        """Free actions and methods at their largest amount, best first."""
        frame = self.cell(classifier)
        named = [a for a in frame if "/" not in a and not a.endswith("+") and a not in LEFT_OUT]
        return list(gaps(frame, named, "nothing")["mean"].sort_values().index)

    def gap(
        self,
        action: str,
        other: str = "nothing",
        classifier: str = "logistic",
        metric: str = "balanced_error",
        size: tuple[int, int] = MAIN,
    ) -> str:
        """A mean difference with its interval, as text."""
        row = gaps(self.cell(classifier, metric, size), [action], other).loc[action]
        return f"{row['mean']:+.3f} (95 % interval {row['low']:+.3f} to {row['high']:+.3f}, {row['tables']:.0f} tables)"

    def mean(
        self, action: str, other: str = "nothing", classifier: str = "logistic", metric: str = "balanced_error"
    ) -> str:
        return f"{gaps(self.cell(classifier, metric), [action], other).loc[action, 'mean']:+.3f}"

    def lower(self, action: str, other: str, classifier: str = "logistic", metric: str = "balanced_error") -> str:
        """In how many tables the first action's figure is lower."""
        row = gaps(self.cell(classifier, metric), [action], other).loc[action]
        return f"{row['lower'] * row['tables']:.0f} of {row['tables']:.0f}"

    def comparison(self, classifier: str) -> str:
        """The main table of one classifier, in Markdown."""
        best = next(a for a in self.actions(classifier) if a.startswith("free: "))
        frame = self.cell(classifier)
        to_best, to_none = f"difference to {figures.words(best)}", "balanced error, difference to doing nothing"
        head = ["action", "tables", to_none, to_best, "ROC AUC, difference to no rows"]
        rows = []
        for action in self.actions(classifier):
            against = _interval(gaps(frame, [action], best)) if action != best else ""
            ranking = _interval(gaps(self.cell(classifier, "roc_auc"), [action], "nothing"))
            nothing = gaps(frame, [action], "nothing")
            rows.append(
                [figures.words(action), f"{nothing['tables'].iloc[0]:.0f}", _interval(nothing), against, ranking]
            )
        return markdown_table(head, rows)

    def split(self, classifier: str) -> str:
        """Threshold and information, in Markdown."""
        methods = [a for a in self.actions(classifier) if not a.startswith("free: ")]
        found = analysis.split_gain(self.cell(classifier), methods)
        rows = [
            [figures.words(m), f"{r.threshold:+.3f}", f"{r.information:+.3f} ({r.low:+.3f} to {r.high:+.3f})"]
            for m, r in zip(found.index, found.itertuples(), strict=True)
        ]
        return markdown_table(["method", "threshold, free", "information"], rows)

    def minority_lines(self, rows: int) -> dict[str, pd.DataFrame]:
        """Difference to doing nothing by minority rows, of each action drawn."""
        found: dict[str, dict[int, pd.Series]] = {}
        for minority in MINORITIES:
            frame = self.cell("logistic", size=(rows, minority))
            wanted = [a for a in (BASE, "free: class_weight", *COMPARED) if a in frame]
            for action, row in gaps(frame, wanted, "nothing").iterrows() if wanted else ():
                found.setdefault(str(action), {})[minority] = row
        return {action: pd.DataFrame(by).T for action, by in found.items()}

    def minority_table(self) -> str:
        rows = []
        for train in SIZES:
            lines = self.minority_lines(train)
            for minority in MINORITIES:
                cells = [_interval(lines[a].loc[[minority]]) if a in lines and minority in lines[a].index else ""
                         for a in (BASE, *COMPARED)]  # fmt: skip
                rows.append([str(train), str(minority), *cells])
        return markdown_table(
            ["train rows", "minority rows", "base-rate threshold (free)", *map(figures.words, COMPARED)], rows
        )

    def regret(self, size: tuple[int, int] | None = MAIN, tables: Sequence[str] | None = None) -> pd.DataFrame:
        """Mean regret: a row per policy, a column per classifier that OPAL has recommendations for."""
        frame = self.regrets if size is None else self.regrets.loc[size]
        if tables is not None:
            frame = frame[frame.index.get_level_values("table").isin(tables)]
        by = frame.groupby("classifier", observed=True).mean().T
        return by[[c for c in ADVISED if c in by and pd.notna(by.at["follow OPAL", c])]].dropna(how="all")

    def regret_table(self, size: tuple[int, int] | None = MAIN) -> str:
        found = self.regret(size)
        found = found.assign(mean=found.mean(axis=1)).sort_values("mean")
        rows = [[figures.words(p), *(f"{v:.3f}" if v == v else "" for v in row)] for p, row in
                zip(found.index, found.to_numpy(), strict=True)]  # fmt: skip
        return markdown_table(["policy", *(figures.NAMES[c] for c in found.columns[:-1]), "mean"], rows)

    def beside_elor(self) -> str:
        """CatBoost's F1 in both studies, in Markdown: means over the tables that have all four actions."""
        found = self.cell("catboost", "f1")[list(ELOR)].dropna()
        here = found.mean()
        rows = [[figures.words(a), f"{theirs:.3f}", f"{here[a]:.3f}"] for a, theirs in ELOR.items()]
        best, smote = max(ELOR, key=ELOR.get), "free: smote"  # type: ignore[arg-type]
        said = f"Best in both: {figures.words(best)}" if here.idxmax() == best else "The best are not the same"
        lead = f"{ELOR[best] - ELOR[smote]:.3f} above SMOTE there, {here[best] - here[smote]:.3f} here"
        table = markdown_table(["F1, CatBoost", "theirs, 73 tables", f"here, {len(found)} tables"], rows)
        return f"{table}\n\n{said}, {lead}."

    def ranks(self, classifier: str) -> Ranks:
        frame = self.cell(classifier)[["nothing", *self.actions(classifier)]]
        return rank(frame.drop(columns=[LLM], errors="ignore").rename(columns=figures.words))

    def made(self, method: str) -> tuple[pd.DataFrame, int]:
        """Runs of a method with logistic regression, and the rows made in them: four fifths of train, three seeds."""
        mine = self.runs[(self.runs["method"] == method) & (self.runs["classifier"] == "logistic")]
        return mine, int((mine["train_rows"] * 4 // 5 * 3).sum())

    def contamination(self, method: str) -> dict[str, float]:
        """Synthetic rows of a method that equal a test row, and as many as chance would give, over all its runs."""
        mine, asked = self.made(method)
        exact, chance = mine["contamination/test_exact"].sum(), mine["contamination/test_chance"].sum()
        return {"rows": asked, "exact": exact, "chance": chance, "share": exact / asked, "by_chance": chance / asked}

    def llm_cost(self) -> dict[str, float]:
        mine, rows = self.made(LLM)
        tokens = (mine["llm/prompt_tokens"] + mine["llm/completion_tokens"]).sum()
        return {"rows": rows, "tokens_a_row": tokens / rows, "seconds_a_row": mine["time/rows"].sum() / rows}

    def sentence(self) -> str:
        """The study in one sentence."""
        frame = self.cell("logistic")
        gain = -float(self.mean(BASE))
        smote, model = (float(gaps(frame, [method], BASE).loc[method, "mean"]) for method in ("smote", LLM))
        return (
            f"On {len(frame)} small tables with ten minority rows, moving the threshold of a logistic regression, "
            f"which is free, lowers the balanced error by {gain:.3f}; no method of making rows does better: SMOTE's "
            f"rows lower it by {smote:.3f} less, those of a small language model by {model:.3f} less "
            f"({self.asked()} tables)."
        )

    def absent(self) -> str:
        """Tables that a cell lacks, as their train rows cannot be drawn: no method has a run there."""
        parts = []
        for rows in SIZES:
            for minority in MINORITIES:
                frame = self.cell("logistic", size=(rows, minority))
                if gone := sorted(set(self.tables["table"]) - set(frame.index)):
                    parts.append(f"{rows} x {minority} without {', '.join(gone)}")
        return "; ".join(parts) or "none"

    def named(self, classifier: str) -> str:
        return figures.NAMES[classifier].capitalize() if classifier != "catboost" else "CatBoost"

    def asked(self) -> int:
        """Tables that the language model gave enough rows of."""
        return int(self.cell("logistic")[LLM].notna().sum())

    def too_few(self) -> str:
        """Tables that it was asked for, and gave too few."""
        given = self.cell("logistic")[LLM].dropna().index
        asked = self.tables[self.tables["columns"] <= 16]["table"]
        return " and ".join(sorted(set(asked) - set(given)))

    def advice(self) -> str:
        """What the regrets say of OPAL's recommendation."""
        found = self.regret().mean(axis=1).sort_values()
        place = list(found.index).index("follow OPAL") + 1
        other = found.drop("follow OPAL").index[0]
        main = self.regrets.loc[MAIN]
        gap = (main["follow OPAL"] - main[BASE]).dropna().groupby("table", observed=True).mean()
        low, high = confidence_interval(gap.to_numpy())
        reporting = sorted(self.regrets.index.unique("table"))[1::2]
        half = self.regret(tables=reporting).mean(axis=1)
        return (
            f"Following OPAL is number {place} of {len(found)} policies by mean regret ({found['follow OPAL']:.3f}); "
            f"the best of the others, {figures.words(other)}, has {found[other]:.3f}. Against always moving the "
            f"threshold to the base rate, following OPAL changes the balanced error by {gap.mean():+.3f} "
            f"({low:+.3f} to {high:+.3f}, {len(gap)} tables, mean of the classifiers). Every second table, by name, "
            f"helped to choose OPAL's rule; on the {len(reporting)} others following OPAL has "
            f"{half['follow OPAL']:.3f}, {figures.words(other)} {half[other]:.3f}."
        )

    def nominal(self) -> str:
        """How SMOTE's loss goes with the share of columns that are not numbers."""
        frame = self.cell("logistic")
        loss = (frame["smote"] - frame[BASE]).dropna()
        tables = self.tables.set_index("table")
        names = tables["kinds"].str.findall(r"(\d+) (?:binary|categorical)").map(lambda found: sum(map(int, found)))
        share = names / tables["columns"]
        both = pd.DataFrame({"loss": loss, "share": share}).dropna()
        many, few = both[both["share"] > 0.3]["loss"], both[both["share"] <= 0.3]["loss"]
        return (
            f"On {len(many)} tables where more than 30 % of the columns are names or yes and no, the balanced error "
            f"with SMOTE is {many.mean():+.3f} from that of the base-rate threshold; on the other {len(few)} "
            f"{few.mean():+.3f}. SMOTE gives a new row the commonest name of its neighbours, so that with ten rows the "
            "rarer names vanish."
        )

    def without_chosen(self, action: str, other: str) -> str:
        """The difference without the tables that OPAL's filter was chosen on."""
        frame = self.cell("logistic").drop(index=["breast_cancer", "credit", "churn", "penguins"], errors="ignore")
        row = gaps(frame, [action], other).loc[action]
        return f"{row['mean']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f}, {row['tables']:.0f} tables)"

    def table_list(self) -> str:
        shown = self.tables.drop(columns=["kinds", "minority"])
        return markdown_table(
            [c.replace("_", " ") for c in shown], [[str(v) for v in row] for row in shown.to_numpy(object)]
        )


def _interval(row: pd.DataFrame) -> str:
    if row.empty:
        return ""
    one = row.iloc[0]
    return f"{one['mean']:+.3f} ({one['low']:+.3f} to {one['high']:+.3f})"
