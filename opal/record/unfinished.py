"""Runs that were begun and not ended: whose they are, and how one is closed when its writer is gone."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

HALF_AFTER = 3600  # seconds: writing a run takes seconds, so one that stays open longer on another host is dead


def writer() -> str:
    """This process, as the tag ``opal.writer`` names it: host, process id, start."""
    import psutil

    return f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time():.0f}"


def foreign(run: Run) -> bool:
    """Whether another host opened the run, lately enough that it may be writing still."""
    host = run.data.tags.get("opal.writer", "").split(" ")[0]
    age = time.time() - (run.info.start_time or 0) / 1000
    return host != socket.gethostname() and age < HALF_AFTER


def close(client: MlflowClient, run: Run) -> None:
    """End a run whose writer is gone: complete if its last tag was written, else interrupted."""
    status = run.data.tags.get("opal.status")
    if status == "running":
        client.set_tag(run.info.run_id, "opal.status", "interrupted")
    ended = {"finished": "FINISHED", "partial": "FINISHED", "failed": "FAILED"}.get(str(status), "KILLED")
    client.set_terminated(run.info.run_id, ended)


def try_close(client: MlflowClient, run_id: str) -> None:
    """After a fault, as far as the store still answers; else the next claim of the run's hash closes it."""
    with suppress(Exception):
        close(client, client.get_run(run_id))
