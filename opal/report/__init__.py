"""Runs, read back and compared. ``opal.report.runs(...)`` gives them as one tidy DataFrame."""

from opal.report.read.load import runs
from opal.report.read.select import Where

__all__ = ["Where", "runs"]
