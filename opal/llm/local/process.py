"""The embedded model's child process: ``python process.py``, started by :mod:`opal.llm.local.server` alone.

Reads one line of JSON from standard input (weights, threads, slots, context, key, files), prints one line of JSON
(``{"address": ...}`` or ``{"error": ...}``) and serves as long as a process holds a lock on the file of its users
(:mod:`opal.llm.local.shared`). A process loses its lock however it dies, so the server never outlives its users.

Imports nothing of OPAL: it starts in a tenth of a second.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any


def main() -> None:
    settings = json.loads(sys.stdin.buffer.readline() or "null")
    if settings is None:
        return
    files = settings["files"]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the runtime prints must not reach the one line that the parent reads
    try:
        alive = os.open(files["alive"], os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.lockf(alive, fcntl.LOCK_EX)  # waits for one that is ending; held until this process is gone
    except OSError as error:
        sys.exit(f"{files['alive']} cannot be locked: {error}")
    threading.Thread(target=_leave_when_unused, args=(files["users"], files["address"]), daemon=True).start()
    try:
        server = _serve(settings)
    except Exception as error:  # the runtime raises RuntimeError and its kin without further distinction
        print(json.dumps({"error": str(error)}), file=answers, flush=True)
        os._exit(1)
    _write(files["address"], {"address": server.listening_address, "key": settings["key"]})
    with suppress(BrokenPipeError):  # its starter is gone; another process may use it
        print(json.dumps({"address": server.listening_address}), file=answers, flush=True)
    threading.Event().wait()


def _serve(settings: dict[str, Any]) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["weights"]
    params.model_alias = {settings["model"]}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [settings["key"]]
    params.n_parallel = settings["slots"]
    params.n_ctx = settings["context"]
    params.kv_unified = True  # slots share the memory, and the answers to one request its prompt
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings["threads"]
    params.n_threads_http = 4
    # The smallest value that clears idle slots before each request: earlier requests must not affect it. Requests
    # ask for slot 0 (conf/llm/local.yaml), as the order of the slots decides roundings, and so answers.
    params.cache_ram_mib, params.cache_idle_slots = 1, True
    params.ui = params.endpoint_slots = False
    params.verbosity = -1
    return xllamacpp.Server(params)


def _write(path: str, record: dict[str, str]) -> None:
    """Written in one step, readable by this user only: it holds the key."""
    handle = os.open(f"{path}.part", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(record, file)
    Path(f"{path}.part").replace(path)


def _leave_when_unused(users: str, address: str) -> None:
    """End this process when no other holds a lock on ``users``."""
    handle = os.open(users, os.O_RDWR | os.O_CREAT, 0o600)
    while True:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.2)
            continue
        Path(address).unlink(missing_ok=True)
        os._exit(0)  # a normal exit waits for requests in flight, or crashes in them


if __name__ == "__main__":
    main()
