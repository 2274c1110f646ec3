"""Arguments that have no effect on figures: marked beside the argument, read by the hashes."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")
_NO_EFFECT = "no effect on figures"
UNMARKED = ("sklearn", "imblearn", "catboost", "xgboost", "lightgbm")  # know nothing of OPAL, and import slowly
NoEffect = Annotated[T, _NO_EFFECT]  # NoEffect[float]: address, pace, price, storage, ...


@cache
def without_effect(target: str) -> frozenset[str]:
    """Names of the arguments of ``target`` that are annotated with `NoEffect`; empty where there is none."""
    from hydra.utils import get_object

    if not target or target.partition(".")[0] in UNMARKED:  # Hydra logs an error where there is nothing to find
        return frozenset()
    try:
        built = get_object(target)
        maker: Any = built.__init__ if inspect.isclass(built) else built
        hints = get_type_hints(maker, include_extras=True)
    except Exception:  # the error appears when it is built
        return frozenset()
    return frozenset(n for n, h in hints.items() if get_origin(h) is Annotated and _NO_EFFECT in get_args(h))
