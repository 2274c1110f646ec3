"""OPAL's verbs as the console command starts them, within the test's own process."""

from __future__ import annotations

import contextlib
import io
import shlex
import sys
from unittest.mock import patch

from opal.cli.main import main


def in_process(words: list[str]) -> str:
    """Standard output of ``opal WORDS``."""
    said = io.StringIO()
    with patch.object(sys, "argv", ["opal", *words]), contextlib.redirect_stdout(said):
        try:
            main()
        except SystemExit as stop:
            assert not stop.code, f"opal {shlex.join(words)}: exit status {stop.code}"
    return said.getvalue()
