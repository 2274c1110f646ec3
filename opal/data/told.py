"""Sentences that a process says once, such as those about a table that it reads several times."""

from __future__ import annotations

import logging

log = logging.getLogger("opal")
_said: set[str] = set()


def tell_once(sentence: str, level: int = logging.INFO) -> None:
    """Log a sentence unless this process has said it."""
    if sentence not in _said:
        _said.add(sentence)
        log.log(level, "opal: %s", sentence)
