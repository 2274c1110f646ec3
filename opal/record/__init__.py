"""Runs in MLflow: writing, reading, hashing, recovery."""

from opal._lazy import public

__getattr__, __all__ = public(__name__, {"Tracking": "tracking"})
