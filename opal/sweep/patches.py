"""Patches where Hydra and submitit offer no hook, each with its reason.

Written for the versions that pyproject.toml allows; tests/sweep/test_patches.py fails when patched code has moved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.sweeper import Sweeper

from opal.errors import OpalError

Batch = Sequence[Sequence[str]]
_compose_all = Sweeper.validate_batch_is_legal
_value: property = JobReturn.return_value  # type: ignore[assignment]


def check_some_jobs(some: Callable[[Batch], Batch]) -> None:
    """Before a sweep, let Hydra 1.3 compose only ``some`` of its jobs.

    It composes all of them, 0.15 s each, and again when their turn comes: a thousand jobs would wait for minutes.
    """

    def compose(sweeper: Any, batch: Batch) -> None:
        _compose_all(sweeper, some(batch))

    Sweeper.validate_batch_is_legal = compose  # type: ignore[method-assign, assignment]


def raise_faults_as_they_are() -> None:
    """Let a job's OpalError, or a closed pipe, leave Hydra 1.3 as it is: Hydra prints overrides before any fault."""

    def value_or_fault(job: JobReturn) -> Any:
        if isinstance(job._return_value, OpalError | BrokenPipeError):
            raise job._return_value
        return _value.fget(job)  # type: ignore[misc]

    JobReturn.return_value = property(value_or_fault, _value.fset)  # type: ignore[method-assign, assignment]


def make_jobs_of(local_job: type, slurm_job: type) -> None:
    """Let submitit 1.5 create these kinds of jobs: its executors find the classes by name."""
    from submitit.local import local
    from submitit.slurm import slurm

    local.LocalJob, slurm.SlurmJob = local_job, slurm_job  # type: ignore[misc, assignment]
