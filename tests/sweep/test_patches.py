"""What opal.sweep.patches replaces is still there, and used, in the installed Hydra and submitit."""

from __future__ import annotations

import inspect

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.sweeper import Sweeper

from opal.errors import DataError
from opal.sweep import patches


def test_hydra_calls_what_is_replaced():
    assert list(inspect.signature(patches._compose_all).parameters) == ["self", "batch"]
    assert "validate_batch_is_legal" in inspect.getsource(BasicSweeper)
    assert isinstance(inspect.getattr_static(JobReturn, "return_value"), property)


def test_only_the_chosen_jobs_are_composed(monkeypatch):
    composed = []
    monkeypatch.setattr(patches, "_compose_all", lambda sweeper, batch: composed.extend(batch))
    monkeypatch.setattr(Sweeper, "validate_batch_is_legal", Sweeper.validate_batch_is_legal)
    patches.check_some_jobs(lambda batch: batch[:1])
    Sweeper.validate_batch_is_legal(None, [["a=1"], ["a=2"]])
    assert composed == [["a=1"]]


def test_a_fault_comes_out_as_itself(monkeypatch):
    monkeypatch.setattr(JobReturn, "return_value", inspect.getattr_static(JobReturn, "return_value"))
    patches.raise_faults_as_they_are()
    with pytest.raises(DataError, match="no table"):
        _ = JobReturn(status=JobStatus.FAILED, _return_value=DataError("no table")).return_value
    assert JobReturn(status=JobStatus.COMPLETED, _return_value=3).return_value == 3


def test_submitit_finds_its_jobs_by_name():
    pytest.importorskip("submitit")
    from submitit.local import local
    from submitit.slurm import slurm

    assert local.LocalExecutor.job_class is local.LocalJob or "LocalJob(" in inspect.getsource(local)
    assert slurm.SlurmExecutor.job_class is slurm.SlurmJob
