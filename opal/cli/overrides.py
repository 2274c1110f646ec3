"""What users type, in the form that Hydra's grammar needs."""

from __future__ import annotations

import re
from collections.abc import Sequence

FREE = ("data.kinds", "data.descriptions", "data.sizes", "tracking.tags", "llm.sampling", "llm.extra_body")


def free_names(arguments: Sequence[str]) -> list[str]:
    """Overrides of sections that take any name, in the form that Hydra adds.

    ``data.kinds.zip=categorical`` and ``data.kinds={zip: categorical}``
    """
    names = "|".join(map(re.escape, FREE))
    return [re.sub(rf"^(?=({names})(\.[^=]*=|=\s*\{{))", "++", argument) for argument in arguments]


def quoted(arguments: Sequence[str]) -> list[str]:
    """Overrides with quotes added where Hydra needs them: ``Größe``, ``>50K``, ``rows (1).csv``, ``{seed}``.

    Commas and brackets still separate values of a sweep or list; what is quoted already, is a function of Hydra's
    (``range(1,5)``) or an interpolation stays as typed.
    """
    return [_quoted(argument) for argument in arguments]


def _quoted(argument: str) -> str:
    key, is_, value = argument.partition("=")
    if not is_ or re.search(r"['\"]|\$\{|^\s*\w+\(.*\)\s*$", value):
        return argument
    return key + is_ + re.sub(r"[^\s,\[\]](?:[^,\[\]]*[^\s,\[\]])?", lambda found: _text(found[0]), value)


def _text(value: str) -> str:
    without_seed = value.replace("{seed}", "")
    if re.search(r"[{}]", without_seed):  # a dictionary
        return value
    plain = re.fullmatch(r"[\w\s/\\+.$%*@?|:=-]*", without_seed, re.ASCII)
    return value if plain and without_seed == value else f"'{value}'"
