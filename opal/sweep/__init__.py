"""Summing up the jobs of a sweep as one run."""

from opal._lazy import public

__getattr__, __all__ = public(__name__, {"Callback": "callback"})
