"""Tasks: which groups are short of rows, and how a table is split into train and test."""

from opal._lazy import public

__getattr__, __all__ = public(__name__, {"Imbalanced": "imbalanced", "Spurious": "spurious", "Task": "base"})
