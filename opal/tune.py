"""python -m opal.tune: search a classifier's settings by cross-validation on train rows, and write it as a YAML.

python -m opal.tune data=gender classifier=random_forest
python -m opal.run --config-dir tuned data=gender classifier=gender_random_forest
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pandas as pd
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from opal.cli.launch import launch
from opal.config.build import CONF, instantiate
from opal.config.resolve import literal, resolved
from opal.config.validation import check_number, check_path, check_top_level
from opal.errors import ConfigError, DataError
from opal.evaluate.classifiers import Classifier
from opal.evaluate.controls import out_of_fold
from opal.evaluate.features import label_codes
from opal.evaluate.fits import each
from opal.evaluate.metrics import errors, names
from opal.progress import Progress
from opal.table import Train

log = logging.getLogger("opal")
RANGE = {"low", "high", "log"}


def draw(space: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """One candidate: a list names choices, ``{low, high}`` a range with both ends, ``log: true`` on a log scale.

    Ends that are whole numbers give whole numbers.
    """
    candidate: dict[str, Any] = {}
    for name, values in space.items():
        if isinstance(values, Sequence) and not isinstance(values, str) and len(values):
            candidate[name] = values[int(rng.integers(len(values)))]
        elif isinstance(values, Mapping):
            check_range(name, values)
            low, high, whole = values["low"], values["high"], all(isinstance(values[k], int) for k in ("low", "high"))
            if values.get("log"):
                value = float(np.exp(rng.uniform(np.log(low), np.log(high))))
                candidate[name] = round(value) if whole else value
            else:
                candidate[name] = int(rng.integers(low, high + 1)) if whole else float(rng.uniform(low, high))
        else:
            raise ConfigError(f"space.{name}={values} is neither a list of values nor {{low: ..., high: ...}}")
    return candidate


def check_range(name: str, values: Mapping[str, Any]) -> None:
    """Raise ConfigError unless ``values`` holds two numbers in order, above zero for a log scale, and little else."""
    ends: list[Any] = [values.get("low"), values.get("high")]
    if not all(isinstance(end, int | float) for end in ends) or not ends[0] <= ends[1] or set(values) - RANGE:
        raise ConfigError(f"space.{name}={values} is neither a list of values nor {{low: ..., high: ..., log: false}}")
    if values.get("log") and ends[0] <= 0:
        raise ConfigError(f"space.{name}.low={ends[0]} must be above zero on a log scale")


def validation_error(classifier: Classifier, train: Train, folds: int, metric: str) -> float:
    """Cross-validated ``metric`` on the train rows of one split: test rows are never seen."""
    predicted = out_of_fold(classifier, train, folds).argmax(axis=1)
    return errors(predicted, train.frame, label_codes(train.frame, train.schema), train.groups)[metric]


def search(
    classifiers: Sequence[Classifier], trains: Sequence[Train], folds: int, metric: str, n_jobs: int, progress: Any
) -> pd.DataFrame:
    """Validation error of every classifier (rows) on every split (columns)."""
    jobs = [(classifier, train, folds, metric) for classifier in classifiers for train in trains]
    found = np.array(list(each(validation_error, jobs, n_jobs, progress)))
    return pd.DataFrame(found.reshape(len(classifiers), len(trains)), columns=[t.seed for t in trains])


@hydra.main(version_base="1.3", config_path=CONF, config_name="tune")
def job(composed: DictConfig) -> float:
    """Draw candidates, keep the best of them and the settings as they are, and write it."""
    config = resolved(composed)
    check(config)
    name = name_of(config)
    table, task = instantiate(config, "data"), instantiate(config, "task")
    trains = [task.split(table, seed).train for seed in config["seeds"]]
    for train in trains:
        if np.bincount(label_codes(train.frame, train.schema)).min() < 2:
            raise DataError(f"seed {train.seed}: train has a single row of a class, and folds need two: add rows of it")
    rng = np.random.default_rng(config["seed"])
    candidates: list[dict[str, Any]] = [{}, *(draw(config["space"], rng) for _ in range(config["trials"]))]
    nodes = [merged(config["classifier"], {"estimator": candidate}) for candidate in candidates]
    classifiers = [instantiate({"classifier": node}, "classifier") for node in nodes]
    with Progress() as progress:
        progress.stage("search", fits=len(classifiers) * len(trains))
        scores = search(classifiers, trains, config["folds"], config["metric"], config["n_jobs"], progress)
    means = scores.mean(axis=1)
    best, metric = int(means.idxmin()), config["metric"]
    path = write(config["output"], name, nodes[best], f"{metric} {means[best]:.4f}, before {means[0]:.4f}")
    print(f"best of {len(candidates)}: {candidates[best] or 'the settings as they were'}")
    print(f"cross-validated {metric} on train rows: {means[best]:.4f}, before {means[0]:.4f}")
    print(f"written to {path}: python -m opal.run --config-dir {config['output']} classifier={path.stem}")
    return float(means[best])


def check(config: Mapping[str, Any]) -> None:
    """Raise ConfigError for an invalid setting."""
    check_top_level(config, "tune")
    if config["metric"] not in names("tuned"):
        raise ConfigError(f"metric={config['metric']} is not one of {', '.join(names('tuned'))}")
    if "estimator" not in config["classifier"]:
        raise ConfigError("opal.tune sets arguments of classifier.estimator, which this classifier does not have")
    for key, least in (("trials", 0), ("folds", 2), ("seed", 0)):
        check_number(key, config[key], least, whole=True)
    check_path(config, "output", "a folder")


def merged(node: Any, changes: Any) -> Any:
    """A copy of ``node`` in which every key of ``changes`` is set."""
    if not (isinstance(node, Mapping) and isinstance(changes, Mapping)):
        return changes
    return dict(node) | {key: merged(node.get(key), value) for key, value in changes.items()}


def name_of(config: Mapping[str, Any]) -> str:
    """The name of the YAML."""
    default = f"{config['data']['name']}_{HydraConfig.get().runtime.choices['classifier']}"
    name = default if config["name"] is None else str(config["name"])
    if not re.fullmatch(r"[\w.-]+", name):
        raise ConfigError(f"name={name!r} becomes a file and an option: use letters, digits, '.', '_' and '-' only")
    return name


def write(output: object, name: str, classifier: Mapping[str, Any], found: str) -> Path:
    """The classifier as ``<output>/classifier/<name>.yaml``, with the command that made it."""
    path = Path(str(output)).expanduser() / "classifier" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    head = f"# python -m opal.tune {' '.join(sys.argv[1:])}\n# cross-validated on train rows: {found}\n"
    path.write_text(head + OmegaConf.to_yaml(OmegaConf.create(literal(classifier))), encoding="utf-8")
    return path


def main() -> None:
    """Start the verb."""
    launch(job)


if __name__ == "__main__":
    main()
