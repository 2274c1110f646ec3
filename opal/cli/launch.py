"""How a verb starts Hydra: one sentence for a mistake that a user can fix, a traceback with HYDRA_FULL_ERROR=1."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import NoReturn

from hydra._internal.utils import get_args_parser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException

from opal.cli import flags
from opal.cli.exits import FAILED, INTERRUPTED, USED_WRONGLY, leave, leave_for_system, until_pipe_closes
from opal.cli.overrides import free_names, quoted
from opal.config.build import explained, no_option
from opal.config.composing import compose_quickly
from opal.config.keys import KEYS, ignored
from opal.config.options import HYDRA_VERBS, Options, nearest, unknown_key
from opal.errors import AlreadyReported, ConfigError, OpalError
from opal.garbage import collect_rarely
from opal.sweep import patches
from opal.sweep.patches import Batch

NO_NAME = r"|null|true|false|[-+]?\.?\d[\d_.e+-]*"


def launch(job: Callable[[], object], stopped: str = "stopped") -> None:
    """Run a ``@hydra.main`` function.

    Parameters
    ----------
    stopped : what to say after Ctrl-C

    Raises
    ------
    SystemExit : 2 where the command is wrong, 1 after a fault, 130 after Ctrl-C
    """
    collect_rarely()
    full = os.environ.get("HYDRA_FULL_ERROR")
    logging.raiseExceptions = False  # a log file on a full disk: no traceback beside the sentence that says so
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then leaves error messages to us
    compose_quickly()
    patches.check_some_jobs(one_for_all)
    patches.compose_once()
    patches.raise_faults_as_they_are()
    sys.argv[1:] = free_names(quoted(sys.argv[1:]))
    try:
        check_flags(sys.argv[1:])
        try:
            with until_pipe_closes():
                job()
        except (ValueError, TypeError) as fault:
            raise no_option(fault, [word for word in sys.argv[1:] if "=" in word]) from fault
    except KeyboardInterrupt:
        leave(stopped, INTERRUPTED)
    except (OpalError, HydraException) as fault:
        if full:
            raise
        status = getattr(explained(fault), "status", USED_WRONGLY)
        if isinstance(fault, AlreadyReported):
            sys.exit(status)
        leave(sentence(fault), status)
    except MemoryError as fault:
        if full:
            raise
        leave(f"not enough memory ({fault}): ask for fewer rows or a smaller model", FAILED)
    except OSError as fault:
        if full:
            raise
        leave_for_system(fault)
    finally:
        if full is None:
            del os.environ["HYDRA_FULL_ERROR"]


def one_for_all(batch: Batch) -> Batch:
    """Jobs of a sweep that reveal the mistakes of all when composed: one for every option and every key."""
    options = Options(verb(), sys.argv[1:])

    @cache
    def tried(override: str) -> str:
        """What one job shows for all: that an option or a key exists, whatever its value."""
        key = override.partition("=")[0]
        return override if options.options(key.lstrip("+")) or "/" in key else key

    seen: set[str] = set()
    some = []
    for overrides in batch:
        if not seen.issuperset(shown := {tried(override) for override in overrides}):
            some.append(overrides)
            seen |= shown
    return some


def check_flags(arguments: Sequence[str]) -> None:
    """Raise ConfigError for ``--method=smote`` and other flags which Hydra answers only with its usage."""
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        known, names = parser._option_string_actions, Options(verb()).names()
        raise ConfigError(flags.sentence(message, known, names, arguments, f"opal {verb()}"))

    parser.error = refuse  # type: ignore[method-assign]
    settings = cache(lambda: Options(verb(), arguments))  # reads YAMLs, so only where a word is doubtful
    for word in parser.parse_args(arguments).overrides:
        if ignored(verb(), word):
            used = ", ".join(name for name, key in KEYS.items() if verb() in key.verbs)
            raise ConfigError(f"opal {verb()} does not use {word}: remove it (it uses {used})")
        key, _, value = word.partition("=")
        parts = re.split(r"[\[\],\s]+", value.strip("[]")) if value.startswith("[") else [value]
        if "." in key or not (word.startswith("~") or any(re.fullmatch(NO_NAME, part) for part in parts)):
            continue
        known = settings()
        options = known.options(key.lstrip("~"))
        if word.startswith("~") and key[1:] in known.names() and not (key[1:] in KEYS and KEYS[key[1:]].spare):
            instead = f"{key[1:]}=none" if "none" in options else "leave it out"
            raise ConfigError(f"{word} removes what opal {verb()} needs: {instead}")
        if options and not word.startswith("~"):  # Hydra: a bare ValueError
            raise ConfigError(f"{word} is not an option; options: {', '.join(options)}")


def verb() -> str:
    """The verb that was started, by whichever of its two names."""
    found = re.search(r"(\w+?)(\.py)?$", sys.argv[0])
    return found[1] if found and found[1] in HYDRA_VERBS else "run"


def sentence(fault: Exception) -> str:
    """What went wrong in one line, with the nearest valid word."""
    if isinstance(fault, MissingConfigException) and fault.missing_cfg_file and fault.options:
        group, _, option = str(fault.missing_cfg_file).rpartition("/")
        best = nearest(option, fault.options)
        guess = f"did you mean {best}? " if best else ""
        return f"{group}={option} is not an option; {guess}options: {', '.join(fault.options)}"
    text = " ".join(str(explained(fault) or fault).split())
    if unknown := re.search(r"Could not override '([^']+)'", text):
        setting = next((a for a in sys.argv[1:] if a.partition("=")[0] == unknown[1]), unknown[1])
        return unknown_key(setting, verb(), sys.argv[1:])
    if merged := re.match(r"Error merging override ([^=]+)=(.*)", text):
        keys, name = Options(verb(), sys.argv[1:]).keys, merged[1].lstrip("+")
        if name not in keys:
            return f"{merged[1]}={merged[2]} does not fit: {str(fault.__cause__).partition(chr(10))[0]}"
        known = keys[name]
        form = f"a list, as in {merged[1]}=[a,b]" if isinstance(known, list) else f"keys, as in {merged[1]}.KEY=VALUE"
        return f"{merged[1]}={merged[2]} has the wrong form: {merged[1]} holds {form}"
    if several := re.match(r"Ambiguous value for argument '([^'=]+)=(.*?)' 1\.", text):
        key, values = several.groups()
        return f"{key}={values} names several values: add -m for a run with each, or write {key}=[{values}] for a list"
    if isinstance(fault, OverrideParseException) and "missing EQUAL" not in text:
        key = fault.override.partition("=")[0]
        if strange := re.search(r"[^ -~]", key):
            return f"{key}: Hydra reads no {strange[0]!r} before =; write the key in a YAML (docs/extend.md, a table)"
        return f"{fault.override} cannot be read: close its brackets, and put text with other signs between quotes"
    if lone := re.match(r"Error parsing override '([^'=]+)' missing EQUAL", text):
        return f"{lone[1]!r} is not a setting: write GROUP=OPTION or KEY=VALUE, as --help shows"
    return text
