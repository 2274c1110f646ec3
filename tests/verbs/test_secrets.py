"""A run against an endpoint that echoes keys (a FAKE): they are in no file, no log and no traceback."""

from __future__ import annotations

import gzip
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from fake_server import FakeLLM, Status

KEY, HEADER, PROXY = "sk-sentinel-5e07", "hdr-sentinel-77aa", "pw-sentinel-31bc"
OPTIONS = """data=csv data.path=table.csv data.target=y seeds=[1] amounts.steps=1 amounts.size=4 task.train_rows=40
task.minority_share=0.25 task.test_rows=40 method=llm prompt=paper method.reject_copies=false
method.reject_repeats=false llm=openai_compatible llm.model=m llm.retries=1
llm.key_env=SENTINEL_KEY llm.headers={X-Token:$SENTINEL_HEADER} llm.timeout=10 fidelity=false
tracking.traces=true tracking.prompts=true"""


def content(folder: Path) -> bytes:
    """All bytes below, packed ones unpacked."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            raw = path.read_bytes()
            found += [raw, gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else b"", str(path).encode()]
    return b"\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("full", ["", "1"], ids=["plain", "HYDRA_FULL_ERROR"])
@pytest.mark.parametrize("echo", ["answers", "errors"])
def test_a_secret_is_nowhere(echo, full, tmp_path, root, empty_store):
    shutil.copy(empty_store, tmp_path)
    n = 200
    frame = pd.DataFrame({"a": [i % 17 / 10 for i in range(n)], "b": [i % 5 for i in range(n)]})
    frame.assign(y=[int(i % 4 == 0) for i in range(n)]).to_csv(tmp_path / "table.csv", index=False)
    secrets = (KEY, HEADER)

    def answer(body):
        if echo == "errors":
            return Status(400, message=f"who sent {' '.join(secrets)}?", echo_key=True)
        rows = [f"y is 1, a is 0.{i}, b is {i % 5}." for i in range(3, 9)]
        return "\n".join([*rows, f"y is 1, a is {secrets[0]}, b is 2.", secrets[1]])

    environment = os.environ | {"SENTINEL_KEY": KEY, "SENTINEL_HEADER": HEADER, "PYTHONPATH": str(root)}
    environment |= {"HTTPS_PROXY": f"http://u:{PROXY}@127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
    environment |= {"HYDRA_FULL_ERROR": full} if full else {}
    with FakeLLM(answer=answer, key=KEY) as fake:
        command = [sys.executable, "-m", "opal.run", *OPTIONS.split(), f"llm.base_url={fake.url}"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=300)
        assert fake.requests and fake.headers[0]["x-token"] == HEADER
    assert (done.returncode == 0) == (echo == "answers"), done.stderr.decode()
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as store:
        spans = store.execute("SELECT count(*) FROM spans").fetchone()[0]
        assert bool(spans) == (echo == "answers")
    said = done.stdout + done.stderr + content(tmp_path)
    for secret in (*secrets, PROXY):
        assert secret.encode() not in said, secret
