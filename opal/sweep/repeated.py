"""A sweep whose jobs were all finished and summed up before: its answer again, without MLflow or another run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opal.record.connection import sqlite_path
from opal.record.finished import finished_run
from opal.report.answer import SINGLES, answers_of, finished_in
from opal.report.read.load import load
from opal.report.read.select import Where

if TYPE_CHECKING:
    from opal.evaluate.answer import Answer
    from opal.record.tracking import Tracking

RUNS = "opal.runs"  # tag of a sweep's own run: which runs it sums up


def digest_of(run_ids: Iterable[str]) -> str:
    """SHA-256 (64 hex digits) of a set of runs."""
    return hashlib.sha256(" ".join(sorted(set(run_ids))).encode()).hexdigest()


def repeated(tracking: Tracking, jobs: Sequence[Mapping[str, Any]], margin: float) -> tuple[str, list[Answer]] | None:
    """Name of the finished run that sums up exactly these jobs, and their answers.

    Parameters
    ----------
    jobs : notes of a sweep's jobs
    margin : differences up to it do not matter

    Returns
    -------
    None where a job did not find its run finished, no run sums them up, or the store is no SQLite file
    """
    if not jobs or any(job["outcome"] != "skipped" for job in jobs):
        return None
    ids = {job["run_id"] for job in jobs}
    summary = finished_run(sqlite_path(str(tracking.uri)), tracking.experiment, digest_of(ids), RUNS)
    if summary is None:
        return None
    where = Where(hashes=[job["name"].rpartition("-")[2] for job in jobs])
    loaded = load(where, None, str(tracking.uri), [tracking.experiment], SINGLES)
    return summary.name, answers_of(finished_in(loaded.take(loaded.runs["run_id"].isin(ids).to_numpy())), margin)
