"""The jobs of a sweep, summed up as one run."""

from opal._lazy import public

__getattr__, __all__ = public(__name__, {"Callback": "callback"})
