"""How a verb starts Hydra: one sentence for what a user can mend, everything with HYDRA_FULL_ERROR=1."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from hydra.errors import HydraException, MissingConfigException
from hydra.plugins.sweeper import Sweeper

from opal.errors import OpalError
from opal.parts import explained, protect_seed

INTERRUPTED = 130  # the shell's exit status after Ctrl-C


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
    Sweeper.validate_batch_is_legal = compose_every_value  # type: ignore[method-assign]
    sys.argv[1:] = protect_seed(sys.argv[1:])
    try:
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


def sentence(fault: Exception) -> str:
    """What went wrong in one line."""
    if isinstance(fault, MissingConfigException) and fault.missing_cfg_file and fault.options:
        group, _, option = str(fault.missing_cfg_file).partition("/")
        return f"{group}={option} is no option; options: {', '.join(fault.options)}"
    return " ".join(str(explained(fault) or fault).split())
