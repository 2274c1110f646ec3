"""How a verb starts Hydra: one sentence for what a user can mend, everything with HYDRA_FULL_ERROR=1."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from hydra.errors import HydraException, MissingConfigException

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


def sentence(fault: Exception) -> str:
    """What went wrong in one line."""
    if isinstance(fault, MissingConfigException) and fault.missing_cfg_file and fault.options:
        group, _, option = str(fault.missing_cfg_file).partition("/")
        return f"{group}={option} is no option; options: {', '.join(fault.options)}"
    return " ".join(str(explained(fault) or fault).split())
