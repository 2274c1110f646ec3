"""python -m opal.fit: the recommended action, fitted on all rows of a table and saved as an MLflow model.

opal fit data=csv data.path=in.csv data.target=label output=model
opal fit data=csv data.path=in.csv data.target=label method=smote,gaussian_copula classifier=catboost output=model
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from opal.cli.launch import launch
from opal.cli.prepare import limit_budget, typed
from opal.config.build import CONF, build, instantiate
from opal.config.resolve import resolved
from opal.config.validation import check_path, check_text, check_top_level
from opal.data.traps import leaks_of
from opal.errors import ConfigError, DataError
from opal.evaluate.answer import Answer
from opal.evaluate.decision import Decision, can_be_fitted, fit_action
from opal.progress import Progress
from opal.record.model import CARD, describe, register_model, save_model
from opal.record.run_record import singles_of
from opal.report.answer import answers, measured, show
from opal.report.model_card import model_card
from opal.result import TrialResult
from opal.table import Train
from opal.trial.sampling import sample
from opal.trial.trial import Trial

log = logging.getLogger("opal")
MODULES = {name: name for name in ("catboost", "lightgbm", "xgboost", "tabicl")} | {"imblearn": "imbalanced-learn"}


@hydra.main(version_base="1.3", config_path=CONF, config_name="fit")
def job(composed: DictConfig) -> None:
    """Run the trial, carry out what it recommends on all rows, and save the model."""
    limit_budget(composed, Path(HydraConfig.get().runtime.output_dir).name)
    config = resolved(composed)
    check_top_level(config, "fit")
    if config["register"] is not None:
        check_text(config, "register")
    folder = check_output(config)
    chosen = HydraConfig.get().runtime.choices
    whole = build(config, method_name=chosen["method"])
    trial = fittable(whole)
    for name in whole.controls.keys() - trial.controls.keys():
        log.info("opal: control %s is left out: it is not one classifier that could be saved", name)
    if not (trial.controls or trial.method.makes_rows):
        raise ConfigError("method=none and controls=none leave nothing to compare: choose a method, or controls=free")
    with Progress() as progress:
        result = trial.run(progress)
        result.warnings += [str(leak) for leak in leaks_of(trial.table)]
        run = measured(trial.method_name, result.errors, singles_of(result), typed())
        found = answers([(trial.table.name, chosen["classifier"], run)], trial.margin)
        if not found:
            raise DataError("no action could be compared: too few rows of a class for folds (validation.folds=3)")
        decision = carried_out(trial, found[0], result, progress)
    show(found)
    for warning in result.warnings:
        print(f"WARNING: {warning}")
    write(config, trial, result, found[0], decision, folder)


def fittable(trial: Trial) -> Trial:
    """The trial with those controls alone that can be carried out as one classifier."""
    return replace(trial, controls={name: c for name, c in trial.controls.items() if can_be_fitted(c)})


def carried_out(trial: Trial, found: Answer, result: TrialResult, progress: Progress) -> Decision:
    """The recommended action on all rows; amounts grow with the rows."""
    from opal.evaluate.portable import AsPipeline

    table, action = trial.table, found.recommended
    seed = next(iter(result.rows))
    train = Train(table.frame, table.schema, trial.task.groups(table), seed, units=table.units)
    rows = None
    if found.rows:
        progress.stage("rows for the whole table", rows=found.rows)
        made = sample(trial.method, train, found.rows, trial.curation, progress)
        result.notes += [note for note in (made.note, made.stopped) if note]
        rows = made.frame
    mine: Any = AsPipeline(trial.classifier)
    return fit_action(action, mine, train, table.short, trial.controls, rows, AsPipeline)


def write(
    config: dict[str, Any], trial: Trial, result: TrialResult, found: Answer, decision: Decision, folder: Path
) -> None:
    """Save the model and its card, register it where that is asked for, and say how to load it."""
    from opal.evaluate.portable import features_of, model_of, needs_opal

    table = trial.table
    model = model_of(decision, table.frame, table.schema)
    classifier = decision.fitted.estimator.steps[-1][1]
    origins = [base.__module__.partition(".")[0] for base in type(classifier).__mro__]
    library = next((MODULES[origin] for origin in origins if origin in MODULES), None)
    packages = ["scikit-learn", "pandas", *([library] if library else []), *(["opal"] if needs_opal(model) else [])]
    notes = [note for note in result.notes if found.recommended.amount and note not in result.conclusions]
    notes += [f"Warning: {warning}" for warning in result.warnings]
    if trial.method.model and found.recommended.amount:
        notes.append(f"Rows by the model {trial.method.model}: its licence may bind what is made with it.")
    card = model_card(table, found, decision.rows, folder.name, ", ".join(["mlflow", *packages]), notes)
    described = describe(model, features_of(table.frame, table.schema), packages, table.schema.labels)
    part = folder.with_name(f".{folder.name}.part")  # what is there stays until the new model is whole
    shutil.rmtree(part, ignore_errors=True)
    save_model(model, part, card, described)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    print(f"wrote {folder}: fitted on {decision.rows} rows; {CARD} says why and how good it is")
    print(f'Load it: mlflow.pyfunc.load_model("{folder}").predict(rows)')
    if config["register"]:
        tracking = instantiate(config, "tracking")
        name = str(config["register"])
        print(f"registered as {name}, version {register_model(model, name, tracking, card, described)}")


def check_output(config: dict[str, Any]) -> Path:
    """Check where to write, before anything is made or paid for.

    Raises
    ------
    ConfigError : not set, a file, or a folder that is not empty
    """
    if not config["output"]:
        raise ConfigError("output is not set: name the folder for the model, for example output=model")
    folder = check_path(config, "output", "a folder")
    if folder.is_dir() and any(folder.iterdir()):
        if not config["overwrite"]:
            raise ConfigError(f"output={config['output']} exists already: choose another name, or set overwrite=true")
        if not (folder / "MLmodel").is_file():
            raise ConfigError(f"output={config['output']} holds something else than a model: choose another name")
    return folder


def main() -> None:
    """Start the verb."""
    launch(job, "stopped; answers of a model are kept, and the same command goes on from there")


if __name__ == "__main__":
    main()
