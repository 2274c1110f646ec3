"""From a composed configuration to the objects it describes.

Nothing here imports what a table or a trial needs before one is built: a mistake is told without them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

from opal.config.keys import KEYS
from opal.config.options import CONF as CONF  # where every verb's configuration lies
from opal.config.resolve import literal, resolved
from opal.config.validation import check_number, check_section, check_top_level, check_value, shown
from opal.errors import ConfigError, OpalError

if TYPE_CHECKING:
    from opal.evaluate.metrics import Costs
    from opal.table import Table
    from opal.trial.trial import Trial

_composing = threading.Lock()  # Hydra's state is global


def compose(*overrides: str, verb: str = "run") -> dict[str, Any]:
    """The resolved configuration of a verb, as its command line would give it.

    Raises
    ------
    hydra.errors.HydraException : an override does not fit
    ConfigError : a group was given a number or a list
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    from opal.config.composing import compose_quickly

    compose_quickly()
    with _composing, initialize_config_dir(CONF, version_base="1.3"):
        try:
            composed = hydra_compose(verb, overrides=list(overrides))
        except (ValueError, TypeError) as fault:
            raise no_option(fault, overrides) from fault
        return resolved(composed)


def no_option(fault: ValueError | TypeError, typed: Sequence[str]) -> ConfigError:
    """Hydra's bare ValueError or TypeError about a group as a sentence; another fault is raised.

    Parameters
    ----------
    typed : the overrides
    """
    *_, (last, _) = walk_tb(fault.__traceback__)
    if not str(fault).startswith("Config group override") and not last.f_code.co_filename.endswith("defaults_list.py"):
        raise fault
    return ConfigError(f"{' '.join(typed)}: a group takes the name of one of its options, as in method=smote")


def build(config: Mapping[str, Any], table: Table | None = None, method_name: str = "", fits: bool = True) -> Trial:
    """The trial that a resolved configuration describes.

    Parameters
    ----------
    table : used in place of the configuration's data
    method_name : what sentences call the method
    fits : False for a trial that is asked for its forecast alone: the libraries of classifier and controls load slowly

    Raises
    ------
    OpalError : an option does not fit, or the table cannot be loaded
    """
    from opal.evaluate.classifiers import Classifier
    from opal.evaluate.controls import cost_threshold
    from opal.trial.trial import Trial

    check_top_level(config, "run")
    built: dict[str, Any] = {"table": instantiate(config, "data") if table is None else table}
    fitted = ("classifier", "controls") if fits else ()
    sections = ("task", "method", "amounts", "validation", "replicates", *fitted)
    built |= {section: instantiate(config, section) for section in sections}
    if not fits:
        built |= {"classifier": Classifier(lambda: None), "controls": dict.fromkeys(config.get("controls") or ())}
    built["curation"] = instantiate(config, "curate")
    keys = ("seeds", "n_jobs", "contamination", "contamination_probe", "fidelity")
    values = {key: config[key] for key in keys if key in config}
    values |= of_answer(config)
    if config.get("measure", "auto") != "auto":
        values["measure"] = config["measure"]
    if config.get("measure") == "cost":
        values["costs"] = costs = costs_of(config, built["table"])
        built["controls"] = {**(built["controls"] or {}), "cost_threshold": partial(cost_threshold, costs=costs)}
    given = {name: part for name, part in built.items() if part is not None}  # None: the trial's own default
    return Trial(**given, **values, method_name=method_name)


def of_answer(config: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of ``answer`` that are given: ``margin``, ``most_seeds``; runs of 0.1 have no most_seeds.

    Raises
    ------
    ConfigError : another key, or a value that does not fit
    """
    from opal.evaluate.looks import FIRST_LOOK

    check_value(config.get("answer"), KEYS["answer"].type, "answer")
    answer = dict(config.get("answer") or {})
    if unknown := sorted(set(answer) - {"margin", "most_seeds"}):
        raise ConfigError(f"answer.{unknown[0]} is not a key of answer; its keys: margin, most_seeds")
    if "margin" in answer:
        check_number("answer.margin", answer["margin"])
    if "most_seeds" in answer:
        check_number("answer.most_seeds", answer["most_seeds"], FIRST_LOOK, whole=True)
    return answer


def costs_of(config: Mapping[str, Any], table: Table) -> Costs:
    """What ``cost`` and ``prevalence`` say; by default the minority is as common as in the table.

    Raises
    ------
    ConfigError : a key or number that is not one
    """
    from opal.evaluate.metrics import Costs

    check_value(config.get("cost") or {}, Mapping[str, Any], "cost")
    given, prevalence = dict(config.get("cost") or {}), config.get("prevalence")
    names = ("false_negative", "false_positive")
    if unknown := sorted(set(given) - set(names)):
        raise ConfigError(f"cost.{unknown[0]} is not a key of cost; its keys: {', '.join(names)}")
    for name in names:
        check_number(f"cost.{name}", given.get(name, 1.0))
    if not sum(given.get(name, 1.0) for name in names):
        raise ConfigError("cost.false_negative=0 and cost.false_positive=0: one of them must cost something")
    check_number("prevalence", prevalence, null="for the table's share")
    if prevalence is not None and not 0 < prevalence < 1:
        raise ConfigError(f"prevalence={shown(prevalence)} must lie between 0 and 1, as in prevalence=0.02")
    if len(table.short) > 1:
        raise ConfigError(f"measure=cost needs one minority class, as in data.minority={shown(table.minority)}")
    if prevalence is None:
        prevalence = float((table.frame[table.schema.target] == table.minority).mean())
    return Costs(**given, prevalence=prevalence)


def instantiate(config: Mapping[str, Any], section: str) -> Any:
    """The object that a section of a resolved configuration describes, or None where it is null and may be.

    Raises
    ------
    OpalError : raised while building, passed on unchanged
    ConfigError : anything else that prevents it
    """
    from hydra.errors import HydraException
    from hydra.utils import instantiate as hydra_instantiate
    from omegaconf.errors import OmegaConfBaseException

    if config.get(section) is None and KEYS[section].nullable:
        return None
    if section not in config:
        raise ConfigError(f"{section} is missing: set it, or remove ~{section}")
    node = config[section]
    check_whole(node, section)
    check_section(node, section)
    try:
        return hydra_instantiate(literal(node), _convert_="all")
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
            f"{section}={shown(node)} replaces the whole section {section}: set one of its keys, {section}.KEY=VALUE"
        )
    if section != "controls":
        check_value(node, Callable[..., Any], section)
        if node.get("_partial_"):
            raise ConfigError(f"{section}._partial_={shown(node['_partial_'])} leaves {section} unbuilt: remove it")
    else:
        for name, control in node.items():
            check_value(control, Callable[..., Any], f"{section}.{name}")


def explained(fault: BaseException | None) -> OpalError | None:
    """The OpalError behind ``fault``, if there is one."""
    while fault is not None and not isinstance(fault, OpalError):
        fault = fault.__cause__
    return fault


def deepest(fault: BaseException) -> BaseException:
    """The first cause of ``fault``."""
    while fault.__cause__ is not None:
        fault = fault.__cause__
    return fault
