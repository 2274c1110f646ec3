"""Jobs that ended without a result: out of memory, out of time, killed with their node.

For such a job hydra-submitit-launcher 1.2 stops waiting for all others; and where SLURM keeps no accounts, it waits for
ever, as submitit 1.5 asks ``sacct`` alone. Ray tells its own launcher.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus

from opal.errors import AlreadyReported
from opal.sweep.notes import note_job
from opal.sweep.patches import make_jobs_of

LOOK_EVERY = 15.0  # seconds between queries of SLURM's queue; a job missing from two of them is gone


def lost(sweep_dir: Path, number: int, overrides: Sequence[str], why: str) -> JobReturn:
    """The return value for a job that left none; leaves a note for the sweep's own run."""
    note_job(sweep_dir, number, "failed", name=" ".join(overrides), error=why)
    return JobReturn(status=JobStatus.FAILED, _return_value=AlreadyReported(why))


def outlive(launcher: str, sweep_dir: Path) -> None:
    """Let a submitit sweep continue without lost jobs; other launchers are unchanged."""
    if launcher not in ("submitit_local", "submitit_slurm"):
        return
    from submitit.core.utils import FailedJobError, UncompletedJobError
    from submitit.local import local
    from submitit.slurm import slurm

    def results(job: Any, wait: Any) -> list[Any]:
        try:
            return wait()
        except (FailedJobError, UncompletedJobError):
            overrides, _, number, *_ = job.submission().args
            why = f"it ended without a result (killed, out of memory or out of time): see {job.paths.stderr}"
            return [lost(sweep_dir, number, overrides, why)]

    class Local(local.LocalJob):
        def results(self) -> list[Any]:
            return results(self, super().results)

    class Slurm(slurm.SlurmJob):
        missed, looked = 0, 0.0

        def results(self) -> list[Any]:
            return results(self, super().results)

        def done(self, force_check: bool = False) -> bool:
            if super().done(force_check):
                return True
            if time.monotonic() - self.looked > LOOK_EVERY:
                self.missed = 0 if queued(self.job_id) else self.missed + 1
                self.looked = time.monotonic()
            return self.missed >= 2

    make_jobs_of(Local, Slurm)


def queued(job_id: str) -> bool:
    """Whether SLURM has the job waiting or running; True if SLURM does not answer."""
    found = subprocess.run(["squeue", "--noheader", "--jobs", job_id], capture_output=True, text=True, check=False)
    return bool(found.stdout.strip()) if found.returncode == 0 else "Invalid job id" not in found.stderr
