"""hydra/sweeper=optuna as docs/search.md shows it: stopped in the middle, the same command goes on."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock
from joblib import cpu_count

from opal.record.tracking import Tracking

pytest.importorskip("optuna")
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "search.md").read_text()
SMALL = ["hydra.sweeper.trials=4", "seeds=[1,2]", "controls=none", "fidelity=false", "contamination=off"]


@pytest.mark.slow
def test_a_search_that_was_killed_goes_on(tmp_path, monkeypatch, empty_store):
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_store, tmp_path)
    (typed,) = re.findall(r"^    python (.*)$", PAGE, re.MULTILINE)
    command = [sys.executable, *shlex.split(typed.replace("hydra.sweeper.trials=20 ", "")), *SMALL]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    limit = time.monotonic() + 200
    while len(list(tmp_path.glob("mlruns/hydra/sweep/*/jobs/*.json"))) < 2:
        assert process.poll() is None and time.monotonic() < limit
        time.sleep(0.05)
    process.kill()
    process.wait()
    (journal,) = tmp_path.glob("mlruns/searches/*.journal")
    Path(f"{journal}.lock").touch()  # as a process leaves it that dies in the middle of a write
    with FileLock(journal.with_suffix(".search")):
        refused = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert refused.returncode and "another process is at work on the same search" in refused.stderr
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    (before,) = re.findall(r"going on with \S+: (\d) of 4 jobs have a score", done.stdout)
    noted_later = cpu_count() > 1  # a helper records a job, and then notes it, while the next one runs
    assert int(before) in ((2, 3) if noted_later else (1, 2))
    assert "measured on folds of train rows" in done.stdout

    trials = scores(tmp_path)
    assert len(trials) == 4
    runs = [r for r in Tracking().runs() if r.data.tags["opal.kind"] == "trial"]
    logged = {(r.data.params["method"], r.data.params["amounts.size"]): r.data.metrics for r in runs}
    assert len(logged) == len(runs), "nothing was run twice"
    for params, value in trials:
        metrics = logged[params["method"], str(params["amounts.size"])]
        assert value == pytest.approx(metrics["validation_balanced_error"]) != metrics["error"]
    assert f"{min(value for _, value in trials):.4g} with" in done.stdout


def scores(folder: Path) -> list[tuple[dict, float]]:
    import optuna
    from optuna.storages.journal import JournalFileBackend

    (journal,) = folder.glob("mlruns/searches/*.journal")
    study = optuna.load_study(
        study_name="opal", storage=optuna.storages.JournalStorage(JournalFileBackend(str(journal)))
    )
    return [(t.params, t.value) for t in study.trials if t.value is not None]


def test_every_kind_of_override_has_its_draws():
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    from hydra_plugins.opal.optuna_sweeper import distribution

    def of(typed: str):
        return distribution(OverridesParser.create().parse_override(typed))

    assert of("a=smote,llm") == CategoricalDistribution(["smote", "llm"])
    assert of("a=true,false") == CategoricalDistribution(["True", "False"])
    assert of("a=range(5,60,5)") == IntDistribution(5, 55, step=5)
    assert of("a=interval(0.5,1.2)") == FloatDistribution(0.5, 1.2)
    assert of("a=int(interval(1,9))") == IntDistribution(1, 9)
    assert of("a=tag(log,interval(0.01,100))") == FloatDistribution(0.01, 100, log=True)
