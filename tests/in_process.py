"""OPAL's verbs as the console command starts them, within the test's own process."""

from __future__ import annotations

import contextlib
import importlib
import io
import shlex
import sys
from unittest.mock import patch


def in_process(words: list[str]) -> str:
    """Standard output of ``opal WORDS``."""
    verb, *arguments = words
    said = io.StringIO()
    with patch.object(sys, "argv", [f"opal {verb}", *arguments]), contextlib.redirect_stdout(said):
        try:
            importlib.import_module(f"opal.{verb}").main()
        except SystemExit as stop:
            assert not stop.code, f"opal {shlex.join(words)}: exit status {stop.code}"
    return said.getvalue()
