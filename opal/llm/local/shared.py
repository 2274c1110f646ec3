"""One model server shared by all processes of a user on this machine: its users, its state, its address.

State is held in POSIX record locks: the kernel drops them when their process ends, however it ends, and a fork does
not inherit them. A process that uses the server holds a shared lock on ``<name>.users``; the server holds
``<name>.alive``, and ends when it can lock ``<name>.users`` for itself. Their folder is
readable by this user only.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from opal.data.told import tell_once
from opal.errors import LLMError
from opal.llm.api.lock import held

BUSY = "the embedded model answers another OPAL program too: the two take turns, and each takes longer"


class Shared:
    """The files shared by all processes that use the same server.

    Parameters
    ----------
    name : the same for the same server; letters and digits

    Raises
    ------
    LLMError : the folder is another user's
    """

    def __init__(self, name: str) -> None:
        folder = Path(tempfile.gettempdir()) / f"opal-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid() or folder.stat().st_mode & 0o077:
            raise LLMError(f"{folder} must be a folder that only you can read: fix its owner and mode, or set TMPDIR")
        self.users, self.alive = folder / f"{name}.users", folder / f"{name}.alive"
        self.address, self.lock, self.asking = (folder / f"{name}.{end}" for end in ("json", "lock", "turn"))
        self.owner: int | None = None
        self._seat: int | None = None

    def enter(self) -> None:
        """Count this process among the users: the server does not end until it leaves."""
        if self._seat is None:
            self._seat = os.open(self.users, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.lockf(self._seat, fcntl.LOCK_SH)
            self.owner = os.getpid()

    def leave(self) -> None:
        if self._seat is not None:
            os.close(self._seat)
            self._seat = None

    def running(self) -> bool:
        """Whether a server holds its lock: it serves, or is about to."""
        probe = os.open(self.alive, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.lockf(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(probe)
        return False

    def where(self, patience: float) -> tuple[str, str] | None:
        """Base URL and key of the running server, waiting while it comes up; None if there is none."""
        limit = time.monotonic() + patience
        while self.running() and time.monotonic() < limit:
            try:
                known = json.loads(self.address.read_text())
                return known["address"] + "/v1", known["key"]
            except FileNotFoundError:  # its starter is gone; it goes on
                time.sleep(0.1)
        return None

    @contextmanager
    def turn(self, stop: threading.Event) -> Iterator[None]:
        """Exclusive use: answers drawn in parallel affect each other. Gives up waiting once ``stop`` is set."""
        with held(self.asking, stop, lambda: tell_once(BUSY)):
            yield
