"""The environment of a run: code revision, packages, Python, platform, memory."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import opal

PACKAGE = Path(__file__).resolve().parents[1]


def environment(overrides: list[str] | None = None) -> dict[str, Any]:
    """Everything that may explain a difference in a repetition, as plain JSON types.

    Parameters
    ----------
    overrides : command-line overrides as typed
    """
    return {
        "opal": opal.__version__,
        "git_revision": git("rev-parse", "HEAD"),
        "git_dirty": dirty(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "overrides": [masked(o) for o in overrides or []],
        "packages": packages(),
    }


def masked(text: str) -> str:
    """``text`` without the passwords that addresses in it hold."""
    return re.sub(r"(\w://[^/\s:@]*):[^/\s@]+@", r"\1:***@", text)


def tags() -> dict[str, str]:
    """The part of the environment that the UI can filter by; the commit is where MLflow looks for it."""
    revision = git("rev-parse", "HEAD") or "unknown"
    found = {"opal.version": opal.__version__, "opal.python": platform.python_version()}
    found |= {"mlflow.source.git.commit": revision, "opal.git_dirty": str(dirty()).lower()}
    return found | {"mlflow.source.name": "opal", "mlflow.source.type": "LOCAL"}


@lru_cache(maxsize=1)
def packages() -> dict[str, str]:
    """Version of every installed distribution, by lower-case name."""
    found = ((dist.name or "", dist.version) for dist in metadata.distributions())
    return {name.lower(): v for name, v in sorted(found, key=lambda pair: pair[0].lower()) if name}


@lru_cache(maxsize=8)
def git(*command: str) -> str | None:
    """Output of a git command in OPAL's own checkout, or None where it is not in one."""
    top = PACKAGE.parent
    if not (top / ".git").exists():  # installed elsewhere: another project's revision would mislead
        return None
    try:
        done = subprocess.run(["git", *command], cwd=top, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def dirty() -> bool | None:
    """Whether the checkout differs from its revision; None outside a checkout."""
    status = git("status", "--porcelain", "--untracked-files=no")
    return None if status is None else bool(status)


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, in MiB."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
