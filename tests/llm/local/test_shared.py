"""The files by which processes share one server; its answers are tested in test_local.py."""

from __future__ import annotations

import logging
import tempfile
import threading
import time

import pytest
from filelock import FileLock

from opal.llm.local.shared import BUSY, Shared


@pytest.mark.slow
def test_a_wait_for_another_program_is_said_once(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    caplog.set_level(logging.INFO, "opal")
    shared, stop, entered = Shared("one"), threading.Event(), threading.Event()

    def ask():
        with shared.turn(stop):
            entered.set()

    ask()
    assert not caplog.messages
    with FileLock(shared.asking):  # what another process holds while it is answered
        waiting = threading.Thread(target=ask)
        entered.clear()
        waiting.start()
        limit = time.monotonic() + 60
        while not caplog.messages and time.monotonic() < limit:
            time.sleep(0.05)
        time.sleep(0.7)  # it tries again every half second
        assert caplog.messages == [f"opal: {BUSY}"] and not entered.is_set()
    waiting.join(60)
    assert entered.is_set()
