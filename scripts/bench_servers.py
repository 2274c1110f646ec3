#!/usr/bin/env python
"""Do rows come from the servers that people run? Each server x prompt x table: mode, valid share, tokens, probe calls.

    python scripts/bench_servers.py [--only SERVERS] [--litellm /path/to/litellm] [--llama-cpp /path/to/python]

Servers, all with the embedded weights (Gemma 3 270M, a base model: with prompts for chat models it writes rows only
where an answer is held to their form):

    embedded           llm=local, as `opal run` starts it
    llama.cpp          llama-server's HTTP server (from xllamacpp), asked as llm=llama_cpp: its own grammars
    llama-cpp-python   `python -m llama_cpp.server`, where --llama-cpp names a Python that has it
    litellm            its proxy in front of the llama.cpp server, where --litellm names the command

Prints the table of docs/providers.md. `works`: every row asked for was kept. Some minutes on two slow cores.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from benchmark import Figure, finish, need_model, parse

from opal.config.build import compose, instantiate
from opal.data import build_table
from opal.errors import OpalError
from opal.llm.api.endpoint import Endpoint
from opal.llm.local.weights import locate
from opal.table import Table
from opal.tasks import Imbalanced

PROMPTS = {"csv": "completion", "expert": "chat", "paper": "chat"}
SERVE = """
import sys, threading, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.model_alias = sys.argv[1], {"gemma"}
params.hostnames, params.port = ["127.0.0.1"], int(sys.argv[2])
params.n_parallel, params.n_ctx, params.cpuparams.n_threads = 2, 8192, 1
server = xllamacpp.Server(params)
threading.Event().wait()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=6)
    parser.add_argument("--only", default="embedded,llama.cpp,litellm,llama-cpp-python")
    parser.add_argument("--litellm", metavar="COMMAND")
    parser.add_argument("--llama-cpp", metavar="PYTHON")
    given = parse(parser, only="embedded", rows=3)
    need_model()
    works: list[bool] = []
    print("| server | prompt | table | works | mode | valid rows | tokens a valid row | calls of the probe |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    weights, only = str(locate(None)), given.only.split(",")
    with ExitStack() as stack:
        if "embedded" in only:
            works += show("embedded", ["llm=local"], given.rows)
        url = stack.enter_context(served([sys.executable, "-c", SERVE, weights, "{port}"], "/health"))
        if "llama.cpp" in only:
            found = ["llm=llama_cpp", f"llm.base_url={url}/v1", "llm.model=gemma", "llm.supports=null"]
            works += show("llama.cpp", found, given.rows)
        if given.litellm and "litellm" in only:
            alone = {"OPENAI_API_KEY": "none", "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"}
            options = ["--model", "openai/gemma", "--api_base", f"{url}/v1", "--port", "{port}", "--host", "127.0.0.1"]
            proxy = stack.enter_context(served([given.litellm, *options], "/health/liveliness", **alone))
            found = ["llm=openai_compatible", f"llm.base_url={proxy}/v1", "llm.model=openai/gemma", "llm.timeout=600"]
            works += show("litellm, llama.cpp behind", found, given.rows)
        if given.llama_cpp and "llama-cpp-python" in only:
            command = [given.llama_cpp, "-m", "llama_cpp.server", "--model", weights, "--port", "{port}"]
            url = stack.enter_context(served([*command, "--n_ctx", "8192", "--n_threads", "1"], "/v1/models"))
            found = ["llm=openai_compatible", f"llm.base_url={url}/v1", "llm.model=gemma", "llm.timeout=600"]
            works += show("llama-cpp-python", [*found, "llm.concurrency=1"], given.rows)
    finish(
        Figure("server, prompt and table: share that gives every row", sum(works) / len(works), note=f"{len(works)}")
    )


def show(name: str, options: list[str], rows: int) -> list[bool]:
    """One line of the table for each prompt and table; whether each works."""
    works = []
    for prompt, api in PROMPTS.items():
        for table in (instantiate(compose(), "data"), mixed()):
            kind = [] if name == "embedded" and prompt == "csv" else [f"llm.api={api}"]
            found = tried(table, [*options, *kind], prompt, rows)
            works.append(found[0] == "yes")
            print(f"| {name} | {prompt} | {table.name} | {' | '.join(found)} |", flush=True)
    return works


def tried(table: Table, options: list[str], prompt: str, wanted: int) -> list[str]:
    """Works, mode, valid share, tokens a valid row, calls of the probe."""
    calls = 0
    post = Endpoint.post

    def counted(self: Endpoint, body: dict) -> dict:
        nonlocal calls
        calls += "Say hello" in str(body.get("messages") or body.get("prompt"))
        return post(self, body)

    Endpoint.post = counted  # type: ignore[method-assign, assignment]
    with tempfile.TemporaryDirectory() as store:
        limits = ["method.max_rows_factor=4", "method.patience=2"]
        config = compose("method=llm", f"prompt={prompt}", *options, *limits, f"llm.store={store}")
        train = Imbalanced(60, 0.2, test_rows=40).split(table, 1).train
        try:
            made = instantiate(config, "method").sample(train, wanted)
        except OpalError as fault:
            return ["no", "", str(fault)[:120].replace("|", "/"), "", str(calls)]
        finally:
            Endpoint.post = post  # type: ignore[method-assign]
    funnel, usage = made.funnel, made.usage
    tokens = (usage.prompt_tokens + usage.completion_tokens) / max(funnel.valid, 1)
    modes = ", ".join(sorted({p["mode"] for p in made.prompts}))
    works = "yes" if len(made.frame) == wanted else f"{len(made.frame)} of {wanted}"
    return [works, modes, f"{funnel.valid} of {funnel.requested}", f"{tokens:.0f}", str(calls)]


def mixed() -> Table:
    """Numbers, whole numbers, names and gaps."""
    rng = np.random.default_rng(0)
    n = 300
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 80, n),
            "income": rng.normal(30_000, 8_000, n).round(2),
            "region": rng.choice(["north", "south, coast", "west"], n),
            "score": np.where(rng.random(n) < 0.2, np.nan, rng.normal(0, 1, n).round(1)),
        }
    )
    frame["repaid"] = np.where(frame["income"] + rng.normal(0, 8_000, n) > 27_000, "yes", "no")
    return build_table("mixed", frame, source="made up", target="repaid")


@contextmanager
def served(command: list[str], ready: str, **environment: str) -> Iterator[str]:
    """The address of a server that ``command`` starts on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [word.format(port=port) if word == "{port}" else word for word in command]
    with tempfile.TemporaryDirectory() as folder, Path(folder, "log").open("w") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, env=os.environ | environment)
        try:
            for _ in range(240):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}{ready}", timeout=2).close()
                    break
                except OSError:
                    time.sleep(0.5)
                if process.poll() is not None:
                    sys.exit(f"{words[0]} ended: {Path(folder, 'log').read_text()[-500:]}")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
