#!/usr/bin/env python
"""Do rows come from the servers that people run? Each server x prompt x table: mode, valid share, tokens, probe calls.

    python scripts/bench_servers.py [--only SERVERS] [--llama-server /path/to/llama-server] [--litellm /path/to/litellm]
        [--llama-cpp /path/to/python] [--transformers /path/to/python]

Servers, all with the embedded weights (Gemma 3 270M, a base model: with prompts for chat models it writes rows only
where an answer is held to their form):

    embedded           llm=local, as `opal run` starts it
    llama.cpp          llama-server's HTTP server (from xllamacpp), asked as llm=llama_cpp: its own grammars
    llama-server       llama.cpp's own command, where --llama-server names it: a stock build has no LLGuidance
    llama-cpp-python   `python -m llama_cpp.server`, where --llama-cpp names a Python that has it
    transformers       `transformers serve`, where --transformers names a Python that has it, torch and gguf
    litellm            its proxy in front of the llama.cpp server, where --litellm names the command

Prints the table of docs/providers.md. `works`: every row asked for was kept. Some minutes on two slow cores.
tests/llm/test_model_servers.py asks the same servers for fewer rows.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmark import Figure, finish, need_model, parse

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "llm")]
from model_servers import PROMPTS, litellm, llama_cpp, llama_cpp_python, llama_server, rows_of, tables, transformers  # noqa: E402

from opal.errors import OpalError  # noqa: E402
from opal.llm.api.endpoint import Endpoint  # noqa: E402
from opal.table import Table  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=6)
    parser.add_argument("--only", default="embedded,llama.cpp,llama-server,litellm,llama-cpp-python,transformers")
    parser.add_argument("--llama-server", metavar="COMMAND")
    parser.add_argument("--litellm", metavar="COMMAND")
    parser.add_argument("--llama-cpp", metavar="PYTHON")
    parser.add_argument("--transformers", metavar="PYTHON")
    given = parse(parser, only="embedded", rows=3)
    need_model()
    works: list[bool] = []
    print("| server | prompt | table | works | mode | valid rows | tokens a valid row | calls of the probe |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    only = given.only.split(",")
    if "embedded" in only:
        works += show("embedded", ["llm=local"], given.rows)
    with ExitStack() as stack:
        if {"llama.cpp", "litellm"} & set(only):
            behind = stack.enter_context(llama_cpp())
        if "llama.cpp" in only:
            works += show("llama.cpp", behind, given.rows)
        if given.llama_server and "llama-server" in only:
            works += show("llama-server", stack.enter_context(llama_server(given.llama_server)), given.rows)
        if given.litellm and "litellm" in only:
            works += show("litellm, llama.cpp behind", stack.enter_context(litellm(given.litellm, behind)), given.rows)
        if given.llama_cpp and "llama-cpp-python" in only:
            works += show("llama-cpp-python", stack.enter_context(llama_cpp_python(given.llama_cpp)), given.rows)
        if given.transformers and "transformers" in only:
            works += show("transformers", stack.enter_context(transformers(given.transformers)), given.rows)
    finish(
        Figure("server, prompt and table: share that gives every row", sum(works) / len(works), note=f"{len(works)}")
    )


def show(name: str, options: list[str], rows: int) -> list[bool]:
    """One line of the table for each prompt and table; whether each works."""
    works = []
    for prompt, api in PROMPTS.items():
        for table in tables():
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
    limits = ["method.max_rows_factor=4", "method.patience=2"]
    try:
        with tempfile.TemporaryDirectory() as store:
            made = rows_of(table, prompt, wanted, *options, *limits, f"llm.store={store}")
    except OpalError as fault:
        return ["no", "", str(fault)[:120].replace("|", "/"), "", str(calls)]
    finally:
        Endpoint.post = post  # type: ignore[method-assign]
    funnel, usage = made.funnel, made.usage
    tokens = (usage.prompt_tokens + usage.completion_tokens) / max(funnel.valid, 1)
    modes = ", ".join(sorted({p["mode"] for p in made.prompts}))
    works = "yes" if len(made.frame) == wanted else f"{len(made.frame)} of {wanted}"
    return [works, modes, f"{funnel.valid} of {funnel.requested}", f"{tokens:.0f}", str(calls)]


if __name__ == "__main__":
    main()
