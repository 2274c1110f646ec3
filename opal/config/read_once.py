"""YAMLs are parsed once in a process: Hydra 1.3 parses them again for each job, a third of the time of composing it."""

from __future__ import annotations

import pickle
from functools import cache
from pathlib import Path
from typing import Any

from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins

_parsed: dict[tuple[str, int, int], bytes] = {}


@cache
def read_once() -> None:
    """Keep what Hydra parses of a file, until the file changes."""
    Plugins.instance()  # registers the sources
    source: Any = SourcesRegistry.instance().resolve("file")
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
