"""The embedded model's child process: ``python local_server.py``, started by :mod:`opal.llm.local` alone.

Reads one line of JSON from standard input (weights, threads, slots, context, key), prints one line of JSON
(``{"address": ...}`` or ``{"error": ...}``) and serves until standard input closes. A process that owns the
other end of that pipe and dies, however it dies, closes it; so the child never outlives its parent.

Imports nothing of OPAL: it starts in a tenth of a second.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any


def main() -> None:
    settings = json.loads(sys.stdin.buffer.readline() or "null")
    if settings is None:
        return
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the runtime prints must not reach the one line that the parent reads
    threading.Thread(target=_leave_with_parent, args=(os.getppid(),), daemon=True).start()
    try:
        server = _serve(settings)
    except Exception as error:  # the runtime raises RuntimeError and its kin without further distinction
        print(json.dumps({"error": str(error)}), file=answers, flush=True)
        os._exit(1)
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
    # The least that turns on clearing idle slots before each request: what earlier ones left must not matter. Requests
    # ask for slot 0 (conf/llm/local.yaml), as the order of the slots decides roundings, and so answers.
    params.cache_ram_mib, params.cache_idle_slots = 1, True
    params.ui = params.endpoint_slots = False
    params.verbosity = -1
    return xllamacpp.Server(params)


def _leave_with_parent(parent: int) -> None:
    """End this process when standard input closes, or ``parent`` is gone and a fork of it holds the pipe."""
    threading.Thread(target=_leave_at_end_of_input, daemon=True).start()
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


def _leave_at_end_of_input() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)  # a normal exit waits for requests in flight, or crashes in them


if __name__ == "__main__":
    main()
