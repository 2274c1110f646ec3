"""Patches where Hydra and submitit offer no hook, each with its reason.

Written for the versions that pyproject.toml allows; tests/sweep/test_patches.py fails when patched code has moved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hydra._internal.hydra import Hydra
from hydra.core.utils import JobReturn
from hydra.plugins.sweeper import Sweeper

from opal.errors import OpalError

Batch = Sequence[Sequence[str]]
OWN_PLACES = {"hydra", "main", "schema"}  # of configurations: Hydra's and OPAL's own, none of a user's or a plugin's
_mode = Hydra.get_mode
_compose_all = Sweeper.validate_batch_is_legal
_value: property = JobReturn.return_value  # type: ignore[assignment]


def check_some_jobs(some: Callable[[Batch], Batch]) -> None:
    """Before a sweep, let Hydra 1.3 compose only ``some`` of its jobs.

    It composes all of them, 0.15 s each, and again when their turn comes: a thousand jobs would wait for minutes.
    """

    def compose(sweeper: Any, batch: Batch) -> None:
        _compose_all(sweeper, some(batch))

    Sweeper.validate_batch_is_legal = compose  # type: ignore[method-assign, assignment]


def compose_once() -> None:
    """Start without a look at ``hydra.mode`` where nothing can set it.

    Hydra 1.3 composes the whole configuration (0.1 s of each start) to read it, then composes it again.
    """

    def mode(hydra: Any, config_name: str | None, overrides: list[str]) -> Any:
        places = {place.provider for place in hydra.config_loader.get_search_path().get_path()}
        if places <= OWN_PLACES and not any(override.lstrip("+~").startswith("hydra") for override in overrides):
            return None  # as of a configuration that does not say
        return _mode(hydra, config_name, overrides)

    Hydra.get_mode = mode  # type: ignore[method-assign, assignment]


def raise_faults_as_they_are() -> None:
    """Let a job's OpalError, or a closed pipe, leave Hydra 1.3 as it is: Hydra prints overrides before any fault."""

    def value_or_fault(job: JobReturn) -> Any:
        if isinstance(job._return_value, OpalError | BrokenPipeError):
            raise job._return_value
        return _value.fget(job)  # type: ignore[misc]

    JobReturn.return_value = property(value_or_fault, _value.fset)  # type: ignore[method-assign, assignment]


def start_jobs_by(order: Callable[[Batch], list[int]]) -> None:
    """Let hydra-joblib-launcher 1.2 start its jobs in this order of their positions: it starts them as typed."""
    from hydra_plugins.hydra_joblib_launcher import _core
    from joblib import Parallel

    class Ordered(Parallel):
        def __call__(self, jobs: Iterable[tuple[Any, tuple, dict]]) -> list[JobReturn]:
            jobs = list(jobs)
            first = order([given[1] for _, given, _ in jobs])  # execute_job(number, overrides, ...)
            done = dict(zip(first, super().__call__(jobs[i] for i in first), strict=True))
            return [done[i] for i in range(len(jobs))]

    _core.Parallel = Ordered


def make_jobs_of(local_job: type, slurm_job: type) -> None:
    """Let submitit 1.5 create these kinds of jobs: its executors find the classes by name."""
    from submitit.local import local
    from submitit.slurm import slurm

    local.LocalJob, slurm.SlurmJob = local_job, slurm_job  # type: ignore[misc, assignment]
