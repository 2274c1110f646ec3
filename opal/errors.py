"""Every error that OPAL raises on purpose, each a sentence a user can act on.

OpalError
├── ConfigError     an option that does not exist or does not fit (names key, value and mend)
├── DataError       a table that cannot be read or used
├── SplitError      too few rows of a class or group for the sizes asked for
├── MethodError     an oversampler that cannot make rows from this table
├── LLMError        the model's endpoint cannot answer (no key, unreachable, unknown model, ...)
│   └── BudgetError the next call would break llm.budget
└── TrackingError   the MLflow store cannot be read or written
"""

import re
from typing import Any

_CONTROL = re.compile(r"[\x00-\x1f\x7f\x80-\x9f\u2028\u2029]")


class OpalError(Exception):
    """A mistake or fault explained in one sentence; the verbs print it without a traceback.

    ``status`` is the verb's exit status: 2 where the command asks for something impossible, 1 where a fault came up.
    """

    status = 2

    def __str__(self) -> str:
        """One line: control characters, which names of columns and a server's words may hold, are shown as escapes."""
        return _CONTROL.sub(lambda found: repr(found[0])[1:-1], super().__str__())


class ConfigError(OpalError):
    """An option that does not exist or does not fit."""


class DataError(OpalError):
    """A table that cannot be read or used."""


class SplitError(OpalError):
    """Too few rows of a class or group for the sizes asked for."""


class MethodError(OpalError):
    """An oversampler that cannot make rows from this table."""


class LLMError(OpalError):
    """The model's endpoint cannot answer; ``partial`` holds the responses that came before, in order."""

    status = 1
    partial: tuple[Any, ...] = ()


class BudgetError(LLMError):
    """The next call would break ``llm.budget``."""


class TrackingError(OpalError):
    """The MLflow store cannot be read or written."""


class AlreadyReported(OpalError):
    """A fault whose message has already been shown."""

    def __init__(self, sentence: str, status: int = 1) -> None:
        super().__init__(sentence)
        self.status = status

    def __reduce__(self) -> tuple[Any, ...]:  # comes from the processes of a launcher
        return type(self), (str(self), self.status)
