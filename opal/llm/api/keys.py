"""Keys, from where they are kept: an environment variable, or a command that prints one. Never on disk."""

from __future__ import annotations

import os
import shlex
import subprocess
import threading
import time
from collections.abc import Mapping
from typing import Any

from opal.errors import ConfigError, LLMError

RENEWED = 240.0  # seconds; az and gcloud print a kept token as long as it is valid for five more minutes
PATIENCE = 60.0  # seconds for the command


def key_of(variable: str | None, model: str) -> str:
    """The key in an environment variable; "" where none is needed.

    Raises
    ------
    LLMError : it is not set, or is not a key
    """
    if variable is None:
        return ""
    key = os.environ.get(variable, "").strip()
    if not key:
        raise LLMError(f"no key for {model}: set the environment variable {variable} (llm.key_env)")
    if not key.isascii() or not key.isprintable():
        raise LLMError(f"the environment variable {variable} (llm.key_env) holds characters that no key has")
    return key


def from_environment(given: Mapping[str, Any] | None, name: str) -> dict[str, str]:
    """Headers or query parameters, each ``$NAME`` replaced by the value of that environment variable.

    Raises
    ------
    LLMError : the variable is not set
    """
    found = {}
    for key, value in (given or {}).items():
        text = str(value)
        if text.startswith("$"):
            if text[1:] not in os.environ:
                raise LLMError(f"{name}.{key}={text}: set the environment variable {text[1:]}")
            text = os.environ[text[1:]].strip()
        found[str(key)] = text
    return found


class KeyCommand:
    """A command that prints a key, such as ``az account get-access-token ... -o tsv``.

    Raises
    ------
    ConfigError : it cannot be split into words
    """

    def __init__(self, command: str) -> None:
        try:
            self.words = shlex.split(command)
        except ValueError as error:
            raise ConfigError(f"llm.key_command={command}: {error}") from error
        self._key, self._until = "", 0.0
        self._lock = threading.Lock()

    def key(self) -> str:
        """The key, at most RENEWED seconds old.

        Raises
        ------
        LLMError : the command fails or prints no key; what it prints is not repeated
        """
        with self._lock:
            if time.monotonic() < self._until:
                return self._key
            name = self.words[0]
            try:
                done = subprocess.run(self.words, capture_output=True, text=True, timeout=PATIENCE, check=False)
            except (OSError, subprocess.TimeoutExpired) as error:
                raise LLMError(f"llm.key_command: {name} cannot be run: {type(error).__name__}") from None
            key = done.stdout.strip()
            if done.returncode or not key or not key.isascii() or not key.isprintable():
                raise LLMError(f"llm.key_command: {name} printed no key (exit status {done.returncode})")
            self._key, self._until = key, time.monotonic() + RENEWED
            return key
