"""Runs that were begun but not ended: who writes them, and how one is closed when its writer is gone."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

HALF_AFTER = 3600  # seconds; writing a run takes far less, so one open for longer on another host is dead


def writer(pid: int | None = None) -> str:
    """A process of this host (None: this one), as the tag ``opal.writer`` names it: host, process id, start."""
    import psutil

    process = psutil.Process(pid)
    return f"{socket.gethostname()} {process.pid} {process.create_time():.0f}"


def foreign(run: Run) -> bool:
    """Whether another host opened the run recently enough that it may still be writing."""
    host = run.data.tags.get("opal.writer", "").split(" ")[0]
    age = time.time() - (run.info.start_time or 0) / 1000
    return host != socket.gethostname() and age < HALF_AFTER


def alive(run: Run) -> bool:
    """Whether the process of this host that opened the run is still there."""
    import psutil

    named = run.data.tags.get("opal.writer", "")
    with suppress(psutil.Error, IndexError, ValueError):  # it has ended; the tag is missing, or has another form
        return writer(int(named.split(" ")[1])) == named
    return False


def close(client: MlflowClient, run: Run) -> None:
    """End a run whose writer is gone: complete if its last tag was written, else interrupted."""
    status = run.data.tags.get("opal.status")
    if status == "running":
        client.set_tag(run.info.run_id, "opal.status", "interrupted")
    ended = {"finished": "FINISHED", "partial": "FINISHED", "failed": "FAILED"}.get(str(status), "KILLED")
    client.set_terminated(run.info.run_id, ended)


def try_close(client: MlflowClient, run_id: str) -> None:
    """Close a run after a fault if the store still answers; otherwise the next claim of its hash closes it."""
    with suppress(Exception):
        close(client, client.get_run(run_id))
