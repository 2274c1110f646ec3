"""From a composed configuration to the parts of a trial: what every verb builds first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from opal.config.options import CONF as CONF  # where every verb's configuration lies
from opal.config.validation import check_section, check_trial, check_value, shown
from opal.errors import ConfigError, OpalError
from opal.evaluate.classifiers import Classifier
from opal.evaluate.controls import Control
from opal.evaluate.curate import Filter
from opal.evaluate.curve import Amounts
from opal.evaluate.replicate import Replicates
from opal.evaluate.validate import Folds
from opal.methods.base import Oversampler
from opal.progress import Progress
from opal.result import TrialResult
from opal.table import Table
from opal.tasks.base import Task
from opal.trial.trial import run_trial

MAY_BE_NULL = ("amounts", "controls", "validation", "replicates")  # none, or as the trial has it by default


@dataclass(frozen=True)
class Parts:
    """What ``run_trial`` takes."""

    table: Table
    task: Task
    method: Oversampler
    classifier: Classifier
    amounts: Amounts
    controls: Mapping[str, Control]
    curation: Filter
    validation: Folds
    replicates: Replicates

    @property
    def model(self) -> str:
        """Identity of the language model that the method asks, "" if it asks none; starts nothing."""
        client = getattr(self.method, "client", None)
        return client.identity() if client is not None else ""


def build(config: Any, table: Table | None = None) -> Parts:
    """Instantiate the parts that ``config`` names; ``table`` stands for its data where given.

    Raises
    ------
    OpalError : an option does not fit, or the table cannot be had.
    """
    check_trial(config)
    return Parts(
        table=instantiate(config, "data") if table is None else table,
        task=instantiate(config, "task"),
        method=instantiate(config, "method"),
        classifier=instantiate(config, "classifier"),
        amounts=instantiate(config, "amounts"),
        controls=instantiate(config, "controls") or {},
        curation=instantiate(config, "curate"),
        validation=instantiate(config, "validation"),
        replicates=instantiate(config, "replicates"),
    )


def run(config: Any, parts: Parts, method: str, progress: Progress | None = None) -> TrialResult:
    """The trial of ``config`` with its parts, and the verdict on it, which calls the method ``method``."""
    from opal.evaluate.judge import judge

    result = run_trial(
        parts.table,
        parts.task,
        parts.method,
        parts.classifier,
        config["seeds"],
        parts.amounts,
        parts.controls,
        config["n_jobs"],
        progress,
        config["contamination"],
        parts.curation,
        parts.validation,
        config["fidelity"],
        config["contamination_probe"],
        parts.replicates,
    )
    judge(result, method)
    return result


def instantiate(config: Any, section: str) -> Any:
    """The object that a section describes; an OpalError raised within comes out as itself."""
    from hydra.errors import HydraException
    from hydra.utils import instantiate as hydra_instantiate
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if section not in config:
        raise ConfigError(f"{section} is missing: give it a value, or leave out ~{section}")
    try:
        node = config[section]
        node = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
        if node is None and section in MAY_BE_NULL:
            return None
        check_whole(node, section)
        check_section(node, section)
        return hydra_instantiate(config[section], _convert_="all")
    except (HydraException, OmegaConfBaseException) as fault:
        known = explained(fault)
        if known is not None:
            raise known from fault
        reason = " ".join(str(deepest(fault)).split())
        raise ConfigError(f"{section} cannot be built: {reason}") from fault


def check_whole(node: Any, section: str) -> None:
    """Raise ConfigError for a value where a whole section is wanted."""
    if not isinstance(node, Mapping):
        raise ConfigError(
            f"{section}={shown(node)} leaves nothing of the section {section}: set one of its keys, {section}.KEY=VALUE"
        )
    if section != "controls":
        check_value(node, Callable[..., Any], section)
    else:
        for name, control in node.items():
            check_value(control, Callable[..., Any], f"{section}.{name}")


def explained(fault: BaseException | None) -> OpalError | None:
    """The OpalError behind ``fault``, if there is one."""
    while fault is not None and not isinstance(fault, OpalError):
        fault = fault.__cause__
    return fault


def deepest(fault: BaseException) -> BaseException:
    """What first went wrong."""
    while fault.__cause__ is not None:
        fault = fault.__cause__
    return fault
