"""The top level of a configuration: one row per key and section.

A new option is a row here and a line in the verb's YAML. Hashing, type checks and the verbs read this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Decides = Literal["rows", "figures", "nothing"]


@dataclass(frozen=True)
class Key:
    """One key at the top of the configuration.

    Parameters
    ----------
    decides : what it affects: the synthetic rows (and so the figures), only the figures, or no figure
    verbs : those that read it; the others refuse it on the command line
    type : of a plain value; None for a section
    nullable : whether a section may be null, for none or the default
    spare : whether ``~key`` may remove the section from a command
    """

    decides: Decides
    verbs: tuple[str, ...]
    type: Any = None
    nullable: bool = False
    spare: bool = False


RUN, AUGMENT, FIT, SPLIT, TUNE, LOOK = "run", "augment", "fit", "split", "tune", "look"
ALL = (RUN, AUGMENT, FIT, SPLIT, TUNE, LOOK)

KEYS = {
    # The hash replaces `data` by facts about the table itself; `llm`, `prompt` and `paper` count where other sections
    # refer to them; `experiment` and `debug` set other keys.
    "data": Key("nothing", ALL),
    "data_dir": Key("nothing", ALL, str | None),
    "task": Key("rows", ALL),
    "method": Key("rows", (RUN, AUGMENT, FIT)),
    "llm": Key("nothing", (RUN, AUGMENT, FIT), spare=True),
    "prompt": Key("nothing", (RUN, AUGMENT, FIT), spare=True),
    "curate": Key("rows", (RUN, AUGMENT, FIT)),
    "classifier": Key("figures", (RUN, FIT, TUNE, LOOK)),
    "controls": Key("figures", (RUN, FIT, LOOK), nullable=True),
    "tracking": Key("nothing", (RUN, FIT)),
    "paper": Key("nothing", ALL),
    "experiment": Key("nothing", ALL, spare=True),
    "debug": Key("nothing", ALL, spare=True),
    "seeds": Key("rows", (RUN, FIT, SPLIT, TUNE, LOOK)),
    "amounts": Key("rows", (RUN, FIT, LOOK), nullable=True),
    "validation": Key("figures", (RUN, FIT, LOOK), nullable=True),
    "replicates": Key("figures", (RUN, FIT), nullable=True),
    "fidelity": Key("figures", (RUN, FIT), bool),
    "contamination": Key("figures", (RUN, FIT), Literal["count", "refit", "off"]),
    "contamination_probe": Key("figures", (RUN, FIT), bool),
    "answer": Key("figures", (RUN, FIT), Mapping[str, Any] | None),
    "measure": Key("figures", (RUN, FIT), str),
    "cost": Key("figures", (RUN, FIT)),
    "prevalence": Key("figures", (RUN, FIT), float | None),
    "score": Key("nothing", (RUN,)),
    "figures": Key("nothing", (RUN,), bool),
    "show": Key("nothing", (RUN,), Literal["answer", "published"]),
    "n_jobs": Key("nothing", (RUN, FIT, TUNE)),
    "dry_run": Key("nothing", (RUN, AUGMENT), bool),
    "verbose": Key("nothing", ()),
    "progress": Key("nothing", ()),
    # augment
    "rows": Key("rows", (AUGMENT,)),
    "provenance": Key("nothing", (AUGMENT,), str | None),
    "formulas": Key("nothing", (AUGMENT,), bool),
    "overwrite": Key("nothing", (AUGMENT, FIT), bool),
    "output": Key("nothing", (AUGMENT, FIT, SPLIT, TUNE), str | None),
    # fit
    "register": Key("nothing", (FIT,), str | None),
    # augment and tune: of the draws
    "seed": Key("rows", (AUGMENT, TUNE)),
    # tune
    "space": Key("figures", (TUNE,)),
    "trials": Key("figures", (TUNE,)),
    "folds": Key("figures", (TUNE,)),
    "metric": Key("figures", (TUNE,)),
    "name": Key("nothing", (TUNE,)),
}


def ignored(verb: str, typed: str) -> bool:
    """Whether ``verb`` would ignore the override ``typed``, as in ``opal split score=error``."""
    key = typed.lstrip("+~").partition("=")[0].partition(".")[0].partition("@")[0]
    return key in KEYS and verb not in KEYS[key].verbs
