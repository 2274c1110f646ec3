"""Public names of a package, each imported from its module when first used (PEP 562).

Configurations, records and docs name ``opal.methods.Smote``; the module behind such a name may move.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def public(package: str, names: Mapping[str, str]) -> tuple[Callable[[str], Any], list[str]]:
    """``__getattr__`` and ``__all__`` of ``package``.

    Parameters
    ----------
    names : public name -> module below ``package``, or ``module:name`` where the name there is another
    """

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, inner = names[name].partition(":")
        return getattr(import_module(f"{package}.{module}"), inner or name)

    return get, sorted(names)
