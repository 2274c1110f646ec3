"""How a verb starts Hydra: one sentence for what a user can mend."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from hydra.errors import HydraException, MissingConfigException

from opal.errors import OpalError
from opal.parts import explained, protect_seed


def launch(job: Callable[[], object]) -> None:
    """Run a ``@hydra.main`` function; HYDRA_FULL_ERROR=1 shows everything."""
    full = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then leaves the telling to us
    sys.argv[1:] = protect_seed(sys.argv[1:])
    try:
        job()
    except KeyboardInterrupt:
        sys.exit("opal: stopped")
    except (OpalError, HydraException) as fault:
        if full:
            raise
        print(f"opal: {sentence(fault)}", file=sys.stderr)
        sys.exit(1)


def sentence(fault: Exception) -> str:
    """What went wrong in one line."""
    if isinstance(fault, MissingConfigException) and fault.missing_cfg_file and fault.options:
        group, _, option = str(fault.missing_cfg_file).partition("/")
        return f"{group}={option} is no option; options: {', '.join(fault.options)}"
    return " ".join(str(explained(fault) or fault).split())
