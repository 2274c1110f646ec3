"""Settings of the wrong type, told before anything is built: by the annotations of what a section builds."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from opal.errors import ConfigError

WORDS = {int: "a whole number", float: "a number", bool: "true or false", NoneType: "null"}
LINKED = {"method.client": "llm", "method.prompt": "prompt"}  # as typed: these sections stand in the method's
SWITCHES = ("fidelity", "figures", "contamination_probe", "dry_run")
CONTAMINATION = ("count", "refit", "off")


def check_section(node: Any, path: str) -> None:
    """Compare a section and those within it with the annotations of their ``_target_``.

    Raises
    ------
    ConfigError : a value is of another type; names key, value and what is wanted
    """
    if not isinstance(node, Mapping):
        return
    hints = _hints(node["_target_"]) if "_target_" in node else {}
    for name, value in node.items():
        if name in hints and not _fits(value, hints[name]):
            raise ConfigError(f"{LINKED.get(path, path)}.{name}={value} must be {_words(hints[name])}")
        check_section(value, f"{path}.{name}")


def check_seeds(seeds: Any) -> None:
    """Seeds are distinct whole numbers, 0 or more, at least one."""
    listed: list[Any] = list(seeds) if isinstance(seeds, Sequence) and not isinstance(seeds, str) else []
    whole = all(_fits(seed, int) and seed >= 0 for seed in listed)
    if not listed or not whole or len(set(listed)) < len(listed):
        raise ConfigError(f"seeds={seeds} must be a list of different whole numbers, 0 or more, as in seeds=[1,2,6]")


def check_trial(config: Any) -> None:
    """The settings of a trial that stand outside every section.

    Raises
    ------
    ConfigError : one of them has no meaning
    """
    check_seeds(config["seeds"])
    if not _fits(config["n_jobs"], int) or config["n_jobs"] == 0:
        raise ConfigError(f"n_jobs={config['n_jobs']} must be a whole number: of fits at a time, -1 for every core")
    for name in SWITCHES:
        if name in config and not isinstance(config[name], bool):
            raise ConfigError(f"{name}={config[name]} must be true or false")
    if config["contamination"] not in CONTAMINATION:
        raise ConfigError(f"contamination={config['contamination']} is none of {', '.join(CONTAMINATION)}")


def _hints(target: str) -> dict[str, Any]:
    """Annotations of what ``target`` names, those of a class with the base classes' that it hands arguments on to."""
    from hydra.utils import get_object

    try:
        built = get_object(target)
        classes = reversed(built.__mro__) if inspect.isclass(built) else ()
        makers = [vars(c)["__init__"] for c in classes if "__init__" in vars(c)] or [built]
        return {name: hint for maker in makers for name, hint in get_type_hints(maker).items()}
    except Exception:  # not to be had, or not to be resolved: building it says what is wrong
        return {}


def _fits(value: Any, hint: Any) -> bool:
    """Whether ``value`` may stand where ``hint`` does; True for hints that are no plain type, and for text."""
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in get_args(hint))
    if origin is Literal:
        return value in get_args(hint)
    if hint in (bool, NoneType):
        return isinstance(value, hint)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, Mapping)
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return isinstance(value, Sequence) and not isinstance(value, str)
    return True


def _words(hint: Any) -> str:
    """A type as a user says it."""
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return " or ".join(_words(part) for part in get_args(hint))
    if origin is Literal:
        return "one of " + ", ".join(map(str, get_args(hint)))
    if isinstance(origin, type):
        return "a section of keys" if issubclass(origin, Mapping) else "a list, as in [a,b]"
    return WORDS.get(hint, "text")
