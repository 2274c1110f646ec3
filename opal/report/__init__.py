"""Reading runs back and comparing them. ``opal.report.runs(...)`` returns them as one tidy DataFrame."""

from opal.report.answer import answer_of
from opal.report.read.load import runs
from opal.report.read.select import Where

__all__ = ["Where", "answer_of", "runs"]
