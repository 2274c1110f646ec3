"""Runs in MLflow: written, read back, hashed, kept safe."""

from opal._lazy import public

__getattr__, __all__ = public(__name__, {"Tracking": "tracking"})
