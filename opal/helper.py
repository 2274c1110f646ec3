"""A helper process: it loads MLflow and Matplotlib, seconds each, while a trial runs, and then draws and records.

`begin` and `call` do their work here where there is no helper, or where it was killed: nothing recorded depends on it.
"""

from __future__ import annotations

import atexit
import logging
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection, Pipe
from queue import SimpleQueue
from typing import Any

from opal.errors import OpalError
from opal.garbage import collect_rarely

_helper: Helper | None = None


def start() -> None:
    """Start the helper, unless there is one, MLflow is loaded here already, or there is no core for it."""
    global _helper
    if _helper is not None or "mlflow" in sys.modules:
        return
    from joblib import cpu_count  # knows what a container may use

    if cpu_count() > 1:
        _helper = Helper()
        atexit.register(stop)


def running() -> bool:
    """Whether there is a helper."""
    return _helper is not None


def stop() -> None:
    """Wait until the helper has done what was begun, and end it."""
    global _helper
    ending, _helper = _helper, None
    if ending is not None:
        ending.end()


def prepare(work: Callable[..., Any], *args: Any) -> None:
    """Let the helper, if there is one, call ``work(*args)`` ahead of time; nobody hears of its faults."""
    if _helper is not None:
        _helper.send(work, args, needed=False)


def begin(work: Callable[..., Any], *args: Any, again: Callable[..., Any] | None = None) -> Callable[[], Any]:
    """Begin ``work(*args)``; gives a function that waits for what it returns, or raises what it raises.

    Parameters
    ----------
    work : can be pickled, as its arguments, what it returns and what it raises
    again : called with ``args`` in this process where the helper was killed at it; ``work`` by default
    """
    if _helper is None:
        found = work(*args)
        return lambda: found
    asked, number = _helper, _helper.send(work, args)

    def result() -> Any:
        try:
            return asked.result(number)
        except Gone:
            stop()
            return (again or work)(*args)

    return result


def call(work: Callable[..., Any], *args: Any) -> Any:
    """What ``work(*args)`` returns, called in the helper where there is one; see `begin`."""
    return begin(work, *args)()


class Gone(Exception):
    """The helper was killed."""


class Helper:
    """The process and the pipe to it; it does one thing after the other."""

    def __init__(self) -> None:
        # neither a fork, which would share connections and locks, nor multiprocessing, which would load Hydra again
        self.pipe, other = Pipe()
        with other:
            places = f"import sys; sys.path[:] = {list(map(str, sys.path))!r}"
            code = f"{places}; from opal.helper import serve; serve({other.fileno()})"
            given: dict[str, Any] = {"pass_fds": [other.fileno()], "stdin": subprocess.DEVNULL}
            self.process = subprocess.Popen([sys.executable, "-c", code], **given)
        self.sent = self.needed = 0  # so many things, up to the last that somebody waits for
        self.found: list[tuple[Any, Exception | None]] = []

    def send(self, work: Callable[..., Any], args: tuple, needed: bool = True) -> int:
        """The number of what was sent."""
        try:
            while self.pipe.poll():
                self._receive()
            self.pipe.send((work, args))
        except (EOFError, OSError, Gone):
            pass  # `result` says so
        self.sent += 1
        self.needed = self.sent if needed else self.needed
        return self.sent - 1

    def result(self, number: int) -> Any:
        while len(self.found) <= number:
            self._receive()
        value, fault = self.found[number]
        self.found[number] = None, None
        if fault is not None:
            raise fault
        return value

    def _receive(self) -> None:
        try:
            value, fault, said = self.pipe.recv()
        except (EOFError, OSError) as ended:
            raise Gone from ended
        for record in said:
            logging.getLogger(record.name).handle(record)
        self.found.append((value, fault))

    def end(self) -> None:
        try:
            while len(self.found) < self.needed:
                self._receive()
        except Gone:
            pass
        if len(self.found) < self.sent:
            self.process.kill()
        self.pipe.close()
        self.process.wait()


def serve(end: int) -> None:
    """Do what comes through the pipe, to its end if the other process is gone meanwhile.

    Parameters
    ----------
    end : file descriptor of this end of the pipe
    """
    collect_rarely()
    pipe: Connection = Connection(end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both: the other process decides
    logger, said = logging.getLogger("opal"), SimpleQueue[logging.LogRecord]()
    logger.addHandler(QueueHandler(said))
    logger.propagate = False
    while True:
        try:
            work, args = pipe.recv()
        except Exception:  # closed; or what was sent cannot be made here, so that the other process does it
            return
        value, fault = None, None
        try:
            value = work(*args)
        except Exception as raised:
            fault = raised if isinstance(raised, OpalError) else RuntimeError(traceback.format_exc())
        try:
            pipe.send((value, fault, [said.get() for _ in range(said.qsize())]))
        except OSError:
            return
