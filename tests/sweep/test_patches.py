"""What opal.sweep.patches replaces is still there, and used, in the installed Hydra and submitit."""

from __future__ import annotations

import inspect
from types import SimpleNamespace

import pytest
from hydra._internal import defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.config_source import ConfigLoadError
from hydra.plugins.sweeper import Sweeper
from hydra.types import RunMode
from omegaconf import OmegaConf

from opal.config import composing
from opal.config.build import CONF
from opal.config.composing import compose_quickly
from opal.errors import DataError
from opal.sweep import patches
from opal.sweep.order import longest_first


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


@pytest.mark.parametrize(
    ("overrides", "place", "composed"),
    [
        (["method=smote"], "main", 0),
        (["hydra.mode=MULTIRUN"], "main", 1),
        (["+hydra.mode=MULTIRUN"], "main", 1),
        (["method=smote"], "command-line", 1),
    ],
)
def test_the_mode_is_looked_up_where_something_may_set_it(monkeypatch, overrides, place, composed):
    looks = []
    monkeypatch.setattr(patches, "_mode", lambda *given: looks.append(given))
    monkeypatch.setattr(Hydra, "get_mode", Hydra.get_mode)
    patches.compose_once()
    search = ConfigSearchPathImpl()
    search.append(provider=place, path="conf")
    hydra = SimpleNamespace(config_loader=SimpleNamespace(get_search_path=lambda: search))
    Hydra.get_mode(hydra, "run", overrides)
    assert len(looks) == composed


def test_workers_get_the_longest_jobs_first_and_results_keep_their_order(monkeypatch):
    core = pytest.importorskip("hydra_plugins.hydra_joblib_launcher._core")
    assert list(inspect.signature(core.execute_job).parameters)[:2] == ["idx", "overrides"]
    monkeypatch.setattr(core, "Parallel", core.Parallel)
    patches.start_jobs_by(longest_first)
    started = []
    classifiers = ("logistic", "knn", "paper_random_forest", "catboost")
    typed = [[f"method={m}", f"classifier={c}"] for m in ("smote", "llm") for c in classifiers]
    done = core.Parallel(n_jobs=1)(core.delayed(lambda i, o: started.append(i) or i)(i, o) for i, o in enumerate(typed))
    assert done == list(range(8)) and started == [6, 7, 4, 5, 2, 3, 0, 1]


@pytest.mark.slow
def test_a_users_yaml_starts_a_sweep(verb, tmp_path):
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    yaml = "# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweeper: {params: {seeds: '[1],[2]'}}\n"
    (tmp_path / "conf" / "experiment" / "two.yaml").write_text(yaml)
    cheap = ("controls=none", "validation.folds=0", "amounts.steps=0", "figures=false")
    code, out, err = verb("run", "--config-dir", "conf", "experiment=two", "data=craft", "method=none", *cheap)
    assert code == 0 and "Launching 2 jobs" in out + err


def test_a_yaml_is_parsed_once_until_it_changes(tmp_path, monkeypatch):
    compose_quickly()
    source = SourcesRegistry.instance().resolve("file")("main", str(tmp_path))
    parsed = []
    monkeypatch.setattr(OmegaConf, "load", lambda file: parsed.append(1) or OmegaConf.create(file.read()))
    (tmp_path / "a.yaml").write_text("b: 1")
    first, second = source.load_config("a"), source.load_config("a")
    first.config.b = 7
    assert second.config == source.load_config("a").config == {"b": 1} and len(parsed) == 1
    (tmp_path / "a.yaml").write_text("b: 22")
    assert source.load_config("a").config == {"b": 22}
    with pytest.raises(ConfigLoadError, match="none"):
        source.load_config("none")


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


@pytest.mark.parametrize(
    ("verb", "typed"),
    [
        ("run", ["method=llm", "llm=openai"]),
        ("run", ["experiment=paper_imbalanced", "method=smote"]),
        ("tune", ["classifier=catboost"]),  # whose defaults name ${classifier}
    ],
)
def test_what_is_composed_quickly_is_what_hydra_composes(monkeypatch, verb, typed):
    compose_quickly()
    loader = ConfigLoaderImpl(ConfigSearchPathImpl())
    loader.config_search_path.append("hydra", "pkg://hydra.conf")
    loader.config_search_path.append("main", f"file://{CONF}")
    loader.config_search_path.append("schema", "structured://")
    loader.repository = ConfigRepository(loader.config_search_path)

    def composed():
        return OmegaConf.to_container(loader.load_configuration(verb, typed, RunMode.RUN), resolve=False)

    quick = composed()
    monkeypatch.setattr(defaults_list, "_create_interpolation_map", composing._choices)
    assert composed() == quick and quick["seeds"]
