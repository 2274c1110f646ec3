"""What a run leaves behind: its record for MLflow, and its files."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from opal.config.effect import without_effect
from opal.record.config_hash import IGNORED_ARGUMENTS, SCHEMA_VERSION, generation_hash
from opal.record.environment import tags as environment_tags
from opal.record.provenance import write_config, write_origin
from opal.record.run_record import DatasetInput, RunRecord, description_of, points_of, run_name
from opal.record.traces import MOST
from opal.result import TrialResult
from opal.trial.trial import Trial

if TYPE_CHECKING:
    from opal.report.figures.fidelity import Places

MOST_LETTERS = 4000  # of a tag in MLflow
SHOWN = {"base_url", "weights"}  # no effect on figures, but worth a column


@dataclass(frozen=True)
class Job:
    """What started the run: the option chosen in each group, the overrides as typed, and the sweep's id or ""."""

    choices: Mapping[str, str]
    overrides: list[str]
    sweep_id: str

    @property
    def typed(self) -> str:
        """The overrides as a shell takes them; empty where a tag of MLflow cannot hold them."""
        joined = shlex.join(self.overrides)
        return joined if len(joined) <= MOST_LETTERS else ""

    @property
    def command(self) -> str:
        """How to run this again, as typed, in Markdown."""
        typed = " ".join(self.overrides)
        mark = "``" if "`" in typed else "`"
        return f"Run: {mark}python -m opal.run {' '.join(typed.splitlines())}{mark}"


def describe(config: Mapping[str, Any], trial: Trial, result: TrialResult, digest: str, job: Job) -> RunRecord:
    """The run's record: what the design's contract names, as plain values."""
    names = job.choices
    warnings = [f"**WARNING**: {_in_markdown(sentence)}" for sentence in result.warnings]
    notes = [_in_markdown(sentence) for sentence in result.notes]
    traced = traces_of(result) if config["tracking"].get("traces") else []
    return RunRecord(
        name=run_name(trial.table.name, method_label(config, names["method"]), names["classifier"], digest),
        config_hash=digest,
        generation_hash=generation_hash(config, trial.table, trial.method.model),
        params=params(config, names) | capabilities(trial),
        metrics=points_of(result),
        tags={"opal.kind": "trial", "opal.sweep_id": job.sweep_id}
        | {"opal.hash_version": str(SCHEMA_VERSION), "opal.overrides": job.typed}
        | {f"opal.verdict.{metric}": word for metric, word in result.verdicts.items()}
        | environment_tags(),
        dataset=DatasetInput.of(trial.table),
        parts=DatasetInput.of_split(trial.table, trial.task.split(trial.table, next(iter(result.rows)))),
        description="\n\n".join(
            [*verdict_of(result), *warnings, description_of(result.errors), *traced, *notes, job.command]
        ),
        status="partial" if result.stopped else "finished",
        traces=bool(traced),
        prompt=prompt_of(config, names) if config["tracking"].get("prompts") else None,
    )


def traces_of(result: TrialResult) -> list[str]:
    """A remark about the run's traces; none without requests."""
    requests = sum(len(rows.prompts) for rows in result.rows.values()) + sum(map(len, result.prompts.values()))
    which = "Its requests are" if requests <= MOST else f"The first {MOST} of its {requests} requests are"
    return [f"{which} under Traces. **They hold rows of the table.**"] if requests else []


def prompt_of(config: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any] | None:
    """The prompt's settings with the option's name; None for a method that asks no model."""
    settings = config["method"].get("prompt")
    return None if settings is None else {"name": names.get("prompt") or "prompt", **settings}


def verdict_of(result: TrialResult) -> list[str]:
    """The beginning of the description: the verdict of each measure."""
    words = [f"{metric.replace('_', ' ')} **{word}**" for metric, word in result.verdicts.items()]
    return [f"Synthetic rows against every free control: {', '.join(words)}."] if words else []


def method_label(config: Mapping[str, Any], method: str) -> str:
    """The method's name in the run's name; with the study's files, also whose rows they are."""
    rows = (config.get("paper") or {}).get("rows")
    return f"{method}-{rows}" if rows else method


def capabilities(trial: Trial) -> dict[str, Any]:
    """The endpoint's capabilities as ``supports.<name>``; empty if every answer came from the store."""
    client = trial.method.client
    found = client.capabilities_used if client is not None else None
    return {f"supports.{name}": value for name, value in (found or {}).items()}


def params(config: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The chosen option of every group, and the scalars beneath them that fit a table's cell."""
    shown = {k: v for k, v in names.items() if v and not k.startswith(("hydra/", "tracking"))}
    seeds = config["seeds"]
    shown["seeds"] = seeds if isinstance(seeds, str) else " ".join(map(str, seeds))
    data = config["data"]
    shown |= {f"data.{k}": data[k] for k in ("target", "minority", "group") if data.get(k) is not None}
    for section in ("task", "method", "classifier", "amounts"):
        shown |= scalars_of(config[section], section)
    if rows := (config.get("paper") or {}).get("rows"):  # the download folder is irrelevant
        shown = {k: v for k, v in shown.items() if k not in ("task.folder", "method.folder")} | {"paper.rows": rows}
    return shown


def scalars_of(node: Any, path: str) -> dict[str, Any]:
    if isinstance(node, dict):
        found: dict[str, Any] = {}
        # pace, price and storage of answers would make equal runs differ in the UI's comparison
        hidden = (IGNORED_ARGUMENTS | without_effect(str(node.get("_target_", "")))) - SHOWN
        for key, value in node.items():
            if not str(key).startswith("_") and key not in hidden:
                found |= scalars_of(value, f"{path}.{key}")
        return found
    short = len(str(node)) <= 250 and "\n" not in str(node)
    return {path: node} if node is not None and short and not isinstance(node, list) else {}


def write(folder: Path, config: Mapping[str, Any], trial: Trial, result: TrialResult, summary: str, job: Job) -> None:
    """Every artifact of the run but its figures."""
    result.save(folder, trial.table.schema)
    write_config(folder, config)
    (folder / "summary.txt").write_text(summary + "\n", encoding="utf-8")
    write_origin(folder, config, trial.table, job.overrides, log_table=config["tracking"].get("log_table", True))


@dataclass(frozen=True)
class Drawing:
    """The run's figures, to be drawn by this process or another one.

    Parameters
    ----------
    fidelity : the arguments of `fidelity_figure` before its path, where fidelity was measured
    """

    title: str
    errors: pd.DataFrame
    fidelity: tuple[pd.DataFrame, pd.DataFrame, Places] | None

    @classmethod
    def of(cls, trial: Trial, result: TrialResult, title: str) -> Drawing:
        """What is drawn of a result."""
        if "fidelity_columns" not in result.tables:  # the split is not drawn again
            return cls(title, result.errors, None)
        from opal.report.figures.fidelity import places

        measured, columns = result.tables["fidelity"], result.tables["fidelity_columns"]
        seed = int(columns["seed"].iloc[0])
        train = trial.task.split(trial.table, seed).train
        return cls(title, result.errors, (measured, columns, places(result.rows[seed].frame, train)))

    def __call__(self, artifacts: Path) -> None:
        """Draw into the folder ``figures``."""
        from matplotlib import rc_context

        from opal.report.figures.fidelity import fidelity_figure
        from opal.report.figures.run import run_figures

        run_figures(self.errors, artifacts / "figures", self.title)
        if self.fidelity:
            with rc_context({"text.parse_math": False}):  # dollars in names of columns and classes begin no formula
                fidelity_figure(*self.fidelity, artifacts / "figures" / "fidelity.png", self.title)


def _in_markdown(sentence: str) -> str:
    """A sentence that may quote a user's table, escaped: no line breaks or tags."""
    return " ".join(sentence.split()).replace("<", "&lt;")
