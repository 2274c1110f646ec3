"""Numbers among a model's settings: told before the first request."""

from __future__ import annotations

import math
from typing import Any

from opal.errors import ConfigError


def check_number(key: str, value: Any, least: float = 0, whole: bool = False) -> None:
    """Raise ConfigError unless ``value`` is None or a finite number, ``least`` or more."""
    if value is None:
        return
    kind = int if whole else int | float
    if not isinstance(value, kind) or isinstance(value, bool) or not least <= value < math.inf:
        what = "whole number" if whole else "number"
        raise ConfigError(f"{key}={value} must be a {what}, {least} or more, or null")
