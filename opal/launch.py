"""How a verb starts Hydra: one sentence for what a user can mend, everything with HYDRA_FULL_ERROR=1."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from hydra.errors import HydraException, MissingConfigException
from hydra.plugins.sweeper import Sweeper

from opal.errors import ConfigError, OpalError
from opal.options import ROOTS, Options, nearest, unknown_key
from opal.parts import explained, protect_seed

INTERRUPTED = 130  # the shell's exit status after Ctrl-C
FREE = ("data.kinds", "data.descriptions", "data.sizes", "tracking.tags", "llm.sampling", "llm.extra_body")


class Said(OpalError):
    """A fault whose sentence the user has read already."""


def launch(job: Callable[[], object], stopped: str = "stopped") -> None:
    """Run a ``@hydra.main`` function.

    Parameters
    ----------
    stopped : what to say after Ctrl-C

    Raises
    ------
    SystemExit : 1 after a fault, 130 after Ctrl-C
    """
    full = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then leaves the telling to us
    Sweeper.validate_batch_is_legal = compose_every_value  # type: ignore[method-assign, assignment]
    sys.argv[1:] = free_names(protect_seed(sys.argv[1:]))
    try:
        refuse_dashes(sys.argv[1:])
        job()
    except KeyboardInterrupt:
        print(f"opal: {stopped}", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except (OpalError, HydraException) as fault:
        if full:
            raise
        if not isinstance(fault, Said):
            print(f"opal: {sentence(fault)}", file=sys.stderr)
        sys.exit(1)
    finally:
        if full is None:
            del os.environ["HYDRA_FULL_ERROR"]


_compose_all = Sweeper.validate_batch_is_legal


def compose_every_value(sweeper: Any, batch: Sequence[Sequence[str]]) -> None:
    """Find a sweep's faults before its first job by composing one job for every value, not all jobs.

    Hydra composes them all, 0.15 s each, and again when their turn comes: a thousand jobs would wait minutes.
    """
    seen: set[str] = set()
    some = []
    for overrides in batch:
        if not seen.issuperset(overrides):
            some.append(overrides)
            seen.update(overrides)
    _compose_all(sweeper, some)


def free_names(arguments: Sequence[str]) -> list[str]:
    """Overrides of sections that take any name (``data.kinds.zip=categorical``) in the form that Hydra adds."""
    names = "|".join(map(re.escape, FREE))
    return [re.sub(rf"^(?=({names})\.[^=]*=)", "++", argument) for argument in arguments]


def refuse_dashes(arguments: Sequence[str]) -> None:
    """Raise ConfigError for ``--method=smote``, to which Hydra has no better answer than its usage."""
    for word in arguments:
        if (named := re.match(r"-+([^=]+)=", word)) and named[1] in Options(verb()).names():
            raise ConfigError(f"{word} begins with dashes, which settings do not: write {word.lstrip('-')}")


def verb() -> str:
    """The verb that was started, by either of its two names."""
    found = re.search(r"(\w+?)(\.py)?$", sys.argv[0])
    return found[1] if found and found[1] in ROOTS else "run"


def sentence(fault: Exception) -> str:
    """What went wrong in one line, with the nearest right word."""
    if isinstance(fault, MissingConfigException) and fault.missing_cfg_file and fault.options:
        group, _, option = str(fault.missing_cfg_file).partition("/")
        best = nearest(option, fault.options)
        guess = f"did you mean {best}? " if best else ""
        return f"{group}={option} is no option; {guess}options: {', '.join(fault.options)}"
    text = " ".join(str(explained(fault) or fault).split())
    if unknown := re.search(r"Could not override '([^']+)'", text):
        setting = next((a for a in sys.argv[1:] if a.partition("=")[0] == unknown[1]), unknown[1])
        return unknown_key(setting, verb(), sys.argv[1:])
    if lone := re.match(r"Error parsing override '([^'=]+)' missing EQUAL", text):
        return f"{lone[1]!r} is no setting: write GROUP=OPTION or KEY=VALUE, as --help shows"
    return text
