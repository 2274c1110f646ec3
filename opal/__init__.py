"""OPAL: do synthetic rows help on a small, imbalanced table? Whose, and how many?"""

from typing import Any

__version__ = "0.2.0"
__all__ = ["OpalSampler", "__version__"]


def __getattr__(name: str) -> Any:
    """``opal.OpalSampler``, imported when first used: it brings scikit-learn with it."""
    if name == "OpalSampler":
        from opal.sampler import OpalSampler

        return OpalSampler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
