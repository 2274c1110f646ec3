"""Real model servers on this machine, all with the embedded weights: for tests and scripts/bench_servers.py.

Each is a context manager that yields the options of `opal run` for it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from servers import free_port

from opal.config.build import compose, instantiate
from opal.data import build_table
from opal.llm.local.weights import locate
from opal.result import Rows
from opal.table import Table
from opal.tasks import Imbalanced

PATIENCE = 300  # seconds: litellm takes minutes to start on a busy machine
PROMPTS = {"csv": "completion", "expert": "chat", "paper": "chat"}  # and the API that each is made for
LLAMA_CPP = """
import os, sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.model_alias = sys.argv[1], {"gemma"}
params.hostnames, params.port = ["127.0.0.1"], int(sys.argv[2])
params.n_parallel, params.n_ctx, params.cpuparams.n_threads = 2, 8192, 1
server = xllamacpp.Server(params)
sys.stdin.read()  # until the parent has gone
os._exit(0)
"""
UNPACK = """
import sys
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, file, target = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype="float32")
model.is_quantized, model.hf_quantizer = False, None  # it refuses to save weights that came in a GGUF file
del model.config.quantization_config
model.save_pretrained(target)
AutoTokenizer.from_pretrained(folder, gguf_file=file).save_pretrained(target)
"""


def installed(command: str) -> str | None:
    """The path of a command of this environment, or of PATH."""
    return shutil.which(command, path=str(Path(sys.executable).parent)) or shutil.which(command)


@contextmanager
def llama_cpp() -> Iterator[list[str]]:
    """llama-server's HTTP server, from xllamacpp; what it can do is found out."""
    with served([sys.executable, "-c", LLAMA_CPP, str(locate(None)), "{port}"], "/health") as url:
        yield _llama_cpp(url)


@contextmanager
def llama_server(command: str) -> Iterator[list[str]]:
    """llama.cpp's own command ``llama-server``; a build as it comes from its CMake has no LLGuidance."""
    options = ["--model", str(locate(None)), "--alias", "gemma", "--host", "127.0.0.1", "--port", "{port}"]
    limits = ["--parallel", "2", "--ctx-size", "8192", "--threads", "1", "--no-webui"]
    with served([command, *options, *limits], "/health") as url:
        yield _llama_cpp(url)


@contextmanager
def llama_cpp_python(python: str = sys.executable) -> Iterator[list[str]]:
    """``python -m llama_cpp.server``: a stock build of llama.cpp, without LLGuidance."""
    command = [python, "-m", "llama_cpp.server", "--model", str(locate(None)), "--port", "{port}"]
    with served([*command, "--n_ctx", "8192", "--n_threads", "1"], "/v1/models") as url:
        yield [*_any(url, "gemma"), "llm.concurrency=1"]


@contextmanager
def litellm(command: str, behind: Sequence[str]) -> Iterator[list[str]]:
    """litellm's proxy in front of another server, whose options are ``behind``."""
    api_base = next(o for o in behind if o.startswith("llm.base_url=")).partition("=")[2]
    alone = {"OPENAI_API_KEY": "none", "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"}
    options = ["--model", "openai/gemma", "--api_base", api_base, "--port", "{port}", "--host", "127.0.0.1"]
    with served([command, *options], "/health/liveliness", **alone) as url:
        yield _any(url, "openai/gemma")


@contextmanager
def transformers(python: str) -> Iterator[list[str]]:
    """``transformers serve`` on the CPU, of an environment with torch and gguf; unpacking the weights takes minutes."""
    alone = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        weights = locate(None)
        unpack = [python, "-c", UNPACK, str(weights.parent), weights.name, folder]
        subprocess.run(unpack, env=os.environ | alone, check=True, capture_output=True)
        command = [str(Path(python).with_name("transformers")), "serve", folder, "--device", "cpu"]
        with served([*command, "--port", "{port}"], "/health", **alone) as url:
            yield [*_any(url, folder), "llm.concurrency=1", "llm.sampling.max_tokens=16"]  # else it writes on and on


def _llama_cpp(url: str) -> list[str]:
    return ["llm=llama_cpp", f"llm.base_url={url}/v1", "llm.model=gemma", "llm.supports=null"]


def _any(url: str, model: str) -> list[str]:
    return ["llm=openai_compatible", f"llm.base_url={url}/v1", f"llm.model={model}", "llm.timeout=600"]


@contextmanager
def served(command: list[str], ready: str, **environment: str) -> Iterator[str]:
    """The address of a server that ``command`` starts on a free port (``{port}``); ``ready`` answers once it is up."""
    port = free_port()
    words = [str(port) if word == "{port}" else word for word in command]
    with tempfile.TemporaryDirectory() as folder, Path(folder, "log").open("w") as log:
        process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=folder, env=os.environ | environment
        )
        try:
            _await(process, f"http://127.0.0.1:{port}{ready}", Path(folder, "log"))
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def _await(process: subprocess.Popen, address: str, log: Path) -> None:
    for _ in range(2 * PATIENCE):
        try:
            urllib.request.urlopen(address, timeout=2).close()
            return
        except OSError:
            time.sleep(0.5)
        if process.poll() is not None:
            break
    raise RuntimeError(f"{process.args} did not come up: {log.read_text()[-1000:]}")


def rows_of(table: Table, prompt: str, rows: int, *options: str) -> Rows:
    """``rows`` rows of the minority of ``table``, as method=llm makes them from 60 train rows."""
    config = compose("method=llm", f"prompt={prompt}", *options)
    train = Imbalanced(60, 0.2, test_rows=40).split(table, 1).train
    return instantiate(config, "method").sample(train, rows)


def tables(*options: str) -> tuple[Table, Table]:
    """craft (``options`` are of its data), and one of numbers, whole numbers, names and gaps."""
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
    return instantiate(compose(*options), "data"), build_table("mixed", frame, source="made up", target="repaid")
