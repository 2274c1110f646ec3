"""What Hydra 1.3 does again and again while it composes a configuration, done once or where it is needed."""

from __future__ import annotations

import pickle
from functools import cache
from pathlib import Path
from typing import Any

from hydra._internal import defaults_list
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins

_parsed: dict[tuple[str, int, int], bytes] = {}
_choices = defaults_list._create_interpolation_map


@cache
def compose_quickly() -> None:
    """Save half of the time of composing: a sweep does it for each job."""
    Plugins.instance()  # registers the sources
    _parse_once(SourcesRegistry.instance().resolve("file"))
    defaults_list._create_interpolation_map = _choices_where_asked_for  # type: ignore[assignment]


def _parse_once(source: Any) -> None:
    """Keep what Hydra parses of a file, until the file changes."""
    parse = source.load_config

    def load_config(self: Any, config_path: str) -> Any:
        path = Path(self.path, self._normalize_file_name(config_path))
        if not path.is_file():
            return parse(self, config_path)  # it says what is missing
        key = f"{self.provider} {path}", path.stat().st_mtime_ns, path.stat().st_size
        if key not in _parsed:
            _parsed[key] = pickle.dumps(parse(self, config_path))
        return pickle.loads(_parsed[key])  # of our own memory; a copy, as Hydra changes what it gets

    source.load_config = load_config


def _choices_where_asked_for(overrides: Any, defaults: list[Any], self_added: bool) -> Any:
    """The options of all groups, where defaults refer to some (``space: ${classifier}``); Hydra lists them always."""
    asked = any(not default.is_self() and default.is_interpolation() for default in defaults)
    return _choices(overrides, defaults, self_added) if asked else None
