"""OPAL: do synthetic rows help on a small, imbalanced table? Whose, and how many?"""

from importlib import import_module
from typing import Any

__version__ = "0.2.0"
__all__ = ["OpalClassifier", "OpalSampler", "__version__"]


def __getattr__(name: str) -> Any:
    """The two classes for scikit-learn, imported when first used: they bring it with them."""
    modules = {"OpalClassifier": "opal.classifier", "OpalSampler": "opal.sampler"}
    if name in modules:
        return getattr(import_module(modules[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
