"""What is imported when first used: public names of a package (PEP 562), and how a value looks in a notebook.

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


def displayed(function: str) -> Callable[[Any], str]:
    """A ``_repr_html_`` for notebooks.

    Parameters
    ----------
    function : ``module:name`` of what writes the HTML; imported when a value is first displayed, and Matplotlib with it
    """

    def html(value: Any) -> str:
        module, _, name = function.partition(":")
        return getattr(import_module(module), name)(value)

    return html
