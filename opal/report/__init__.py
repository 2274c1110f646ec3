"""Runs, read back and compared. ``opal.report.runs(...)`` gives them as one tidy DataFrame."""

from opal.report.load import runs
from opal.report.where import Where

__all__ = ["Where", "runs"]
