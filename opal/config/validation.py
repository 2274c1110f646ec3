"""Settings of the wrong type, found before anything is built, from the annotations of what a section builds."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, Unpack, get_args, get_origin, get_type_hints

from opal.config.keys import KEYS
from opal.config.options import nearest
from opal.errors import ConfigError

WORDS = {int: "a whole number", float: "a number", bool: "true or false", NoneType: "null"}
LINKED = {"method.client": "llm", "method.prompt": "prompt"}  # as typed: these sections stand in the method's
MOST_JOBS = 10_000
NO_VALUE = "???"  # OmegaConf's


def check_section(node: Any, path: str) -> None:
    """Compare a section and those within it with the signature of their ``_target_``: names and annotations.

    Raises
    ------
    ConfigError : an unknown or missing key, or a value of another type; names key, value and fix
    """
    if isinstance(node, Sequence) and not isinstance(node, str):
        for place, part in enumerate(node):
            check_section(part, f"{path}.{place}")
    if not isinstance(node, Mapping):
        return
    for flag in ("_partial_", "_recursive_"):
        if not isinstance(node.get(flag, False), bool):
            raise ConfigError(f"{path}.{flag}={shown(node[flag])} must be true or false")
    hints, needed, any_name = _arguments(node["_target_"]) if "_target_" in node else ({}, set(), True)
    given = {name: value for name, value in node.items() if not str(name).startswith("_")}
    for name, value in given.items():
        if not any_name and name not in hints:
            best = nearest(str(name), hints)
            guess = f"did you mean {path}.{best}?" if best else f"its keys: {', '.join(hints) or 'none'}"
            raise ConfigError(f"{path}.{name}={shown(value)} is not a key of {path.partition('.')[0]}; {guess}")
        key = LINKED.get(f"{path}.{name}", f"{path}.{name}")
        check_value(value, hints.get(name, Any), key)
        check_section(value, key)
    if (missing := needed - set(given)) and not node.get("_partial_"):
        raise ConfigError(f"{path}.{min(missing)} is missing: give it a value, or leave out ~{path}.{min(missing)}")


def check_value(value: Any, hint: Any, key: str) -> None:
    """Raise ConfigError unless ``value`` is valid for ``hint``."""
    if value == NO_VALUE:
        raise ConfigError(f"{key} is not set: give it, as in {key}=VALUE")
    if not _fits(value, hint):
        mend = f": write {key}=[{value}]" if isinstance(value, str | int) and _holds(hint, Sequence) and value else ""
        raise ConfigError(f"{key}={shown(value)} must be {_words(hint)}{mend}")
    if isinstance(value, Mapping) and (inner := _holds(hint, Mapping)):
        for name, part in value.items():
            check_value(part, inner[1], f"{key}.{name}")
    if isinstance(value, Sequence) and not isinstance(value, str) and (inner := _holds(hint, Sequence)):
        for place, part in enumerate(value):
            check_value(part, inner[0], f"{key}.{place}")


def check_seeds(seeds: Any, auto: bool = False) -> None:
    """Seeds are distinct whole numbers, 0 or more, at least one; or ``auto`` where that is allowed."""
    if auto and seeds == "auto":
        return
    listed: list[Any] = list(seeds) if isinstance(seeds, Sequence) and not isinstance(seeds, str) else []
    whole = all(_fits(seed, int) and seed >= 0 for seed in listed)
    if not listed or not whole or len(set(listed)) < len(listed):
        raise ConfigError(
            f"seeds={shown(seeds)} must be a list of different whole numbers, 0 or more, as in seeds=[1,2,6]"
            f"{', or auto' if auto else ''}"
        )


def check_number(key: str, value: Any, least: float = 0, whole: bool = False, null: str | None = None) -> None:
    """Raise ConfigError unless ``value`` is a finite number, ``least`` or more.

    Parameters
    ----------
    null : what null means where it is allowed ("" if that is obvious); None where it is not
    """
    if value is None and null is not None:
        return
    if not _fits(value, int if whole else float) or not least <= value < math.inf:
        what = "whole number" if whole else "number"
        or_null = "" if null is None else f", or null {null}".rstrip()
        raise ConfigError(f"{key}={shown(value)} must be a {what}, {least} or more{or_null}")


def check_text(config: Any, key: str) -> None:
    """Raise ConfigError unless the setting ``key`` is text, and not empty."""
    if config[key] == "":
        raise ConfigError(f"{key}= is empty: give it, or leave it out")
    check_value(config[key], str, key)


def check_path(config: Any, key: str, what: Literal["a file", "a folder"]) -> Path:
    """Where the setting ``key`` says to write; nothing need be there yet.

    Raises
    ------
    ConfigError : it is no text, or ``what`` cannot be there
    """
    check_text(config, key)
    typed = f"{key}={config[key]} cannot be {what}"
    try:
        path = Path(str(config[key])).expanduser().resolve()
        there = next(place for place in (path, *path.parents) if place.exists())
    except (OSError, ValueError, RuntimeError) as fault:  # too long; a zero byte; no such user
        raise ConfigError(f"{typed}: {getattr(fault, 'strerror', None) or fault}") from fault
    folder = path.parent if what == "a file" and there == path else there
    if not folder.is_dir():
        raise ConfigError(f"{typed}: {folder} is a file: name another place")
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"{typed}: {folder} is read-only for you: name another place")
    return path


def check_top_level(config: Mapping[str, Any], verb: str) -> None:
    """Check the plain values at the top of ``verb``'s configuration by `opal.config.keys.KEYS`.

    Raises
    ------
    ConfigError : one of them has the wrong type or no meaning
    """
    for name, key in KEYS.items():
        if key.type is not None and verb in key.verbs and name in config:
            check_value(config[name], key.type, name)
    for name in ("seeds", "n_jobs"):
        if verb in KEYS[name].verbs and name not in config:
            raise ConfigError(f"{name} is missing: give it, as in {name}={'[1,2,6]' if name == 'seeds' else 1}")
    if verb in KEYS["seeds"].verbs:
        check_seeds(config["seeds"], auto=verb == "run")
    if verb in KEYS["n_jobs"].verbs:
        check_jobs(config)


def check_jobs(config: Any) -> None:
    """Raise ConfigError unless ``n_jobs`` is a number of processes, or negative as joblib counts them."""
    n = config["n_jobs"]
    if not _fits(n, int) or n == 0 or abs(n) > MOST_JOBS:
        raise ConfigError(f"n_jobs={shown(n)} must be a whole number: of fits at a time, -1 for every core")


def shown(value: Any) -> str:
    """A value as typed on the command line."""
    if isinstance(value, str) and not value:
        return "''"
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)


@cache
def _arguments(target: str) -> tuple[dict[str, Any], set[str], bool]:
    """What ``target`` accepts: annotations by name, required names, and whether it accepts any other.

    A class that hands ``**arguments`` on to its base class takes those of the base class.
    """
    from hydra.utils import get_object

    try:
        built = get_object(target)
        bases = built.__mro__[:-1] if inspect.isclass(built) else ()
        hints: dict[str, Any] = {}
        needed: set[str] | None = None
        for maker in [vars(base)["__init__"] for base in bases if "__init__" in vars(base)] or [built]:
            wanted, handed_on = _read(maker, hints)
            needed = wanted if needed is None else needed  # what a base class needs, the class itself may give
            if not handed_on:
                break
        return hints, needed or set(), handed_on
    except Exception:  # not available, or written in C: the error appears when it is built
        return {}, set(), True


def _read(maker: Any, hints: dict[str, Any]) -> tuple[set[str], bool]:
    """Add a function's arguments to ``hints``; returns those without default, and whether others are accepted."""
    try:
        typed = get_type_hints(maker)
    except Exception:  # an annotation that cannot be resolved
        typed = {}
    needed, handed_on = set(), False
    for name, parameter in inspect.signature(maker).parameters.items():
        hint = typed.get(name, Any)
        if parameter.kind == parameter.VAR_KEYWORD and get_origin(hint) is Unpack:
            hints |= get_type_hints(get_args(hint)[0])
        elif parameter.kind == parameter.VAR_KEYWORD:
            handed_on = True
        elif parameter.kind != parameter.VAR_POSITIONAL and name != "self":
            hints.setdefault(name, hint)
            if parameter.default is parameter.empty:
                needed.add(name)
    return needed, handed_on


def _fits(value: Any, hint: Any) -> bool:
    """Whether ``value`` is valid for ``hint``; True for hints that are not plain types."""
    from pydantic import ValidationError

    try:
        _adapter(hint).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


@cache
def _adapter(hint: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(_of_yaml(hint))


def _of_yaml(hint: Any) -> Any:
    """An argument's type as written in a YAML, for pydantic's strict mode."""
    from pydantic import AfterValidator, InstanceOf

    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return Union[tuple(map(_of_yaml, get_args(hint)))]  # noqa: UP007 (built from parts)
    if hint is float:
        return Annotated[float, AfterValidator(_refuse_nan)]
    if hint in (str, Path):  # a name such as 2024 is read as a number
        return str | int | float
    if hint in (bool, int, NoneType) or origin is Literal:
        return hint
    if hint is Hashable:
        return InstanceOf[Hashable]
    if origin is Callable or getattr(hint, "__module__", "").startswith("opal."):
        return Annotated[InstanceOf[Mapping], AfterValidator(_refuse_without_target)]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return InstanceOf[Mapping]
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return InstanceOf[list] | InstanceOf[tuple]
    return Any


def _refuse_nan(value: float) -> float:
    if math.isnan(value):
        raise ValueError("not a number")
    return value


def _refuse_without_target(node: Mapping[str, Any]) -> Mapping[str, Any]:
    if "_target_" not in node:
        raise ValueError("no _target_")
    return node


def _holds(hint: Any, container: type) -> tuple[Any, ...]:
    """The item types of a list or mapping among the alternatives of ``hint``, () if there is none."""
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    found = (p for p in parts if isinstance(get_origin(p), type) and issubclass(get_origin(p), container))
    return next((get_args(p) for p in found), ())


def _words(hint: Any) -> str:
    """A type in a user's words."""
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        words = [_words(part) for part in get_args(hint)]
        return f"{', '.join(words[:-1])}{',' * (',' in words[0])} or {words[-1]}"
    if origin is Literal:
        return "one of " + ", ".join(map(str, get_args(hint)))
    if origin is Callable or getattr(hint, "__module__", "").startswith("opal."):
        return "a section with a _target_"
    if isinstance(origin, type):
        return "a section of keys" if issubclass(origin, Mapping) else "a list, as in [a,b]"
    return WORDS.get(hint, "text")
