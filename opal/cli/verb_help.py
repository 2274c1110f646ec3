"""``opal VERB --help`` of the verbs that start Hydra, from the YAML files alone: Hydra needs a second for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from opal.config.options import CONF, Options


def help_of(verb: str, typed: Sequence[str] = ()) -> str:
    """What Hydra prints for ``--help``: the verb's header, every group with its options, and its footer.

    Parameters
    ----------
    typed : the other words of the command; ``--config-dir DIR`` adds options
    """
    about = yaml.safe_load(Path(CONF, f"{verb}.yaml").read_text(encoding="utf-8"))["hydra"]["help"]
    options = Options(verb, typed)
    folders = {path.name for folder in options.folders if folder.is_dir() for path in folder.iterdir() if path.is_dir()}
    groups = [f"{group}: {', '.join(options.options(group))}" for group in sorted(folders - {"hydra"})]
    return "\n".join([about["header"], "GROUP=OPTION:", "", *groups, "", about["footer"]])
