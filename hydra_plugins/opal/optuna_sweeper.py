"""hydra/sweeper=optuna: search the settings with the least score, and go on with a search that was stopped.

The published plugin (hydra-optuna-sweeper 1.3.0) is bound to Optuna below 3, of 2022.
"""

import hashlib
import json
import logging
import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from opal.config.validation import check_number
from opal.errors import ConfigError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution

log = logging.getLogger("opal")


class OptunaSweeper(Sweeper):
    """Proposes jobs by Optuna's TPE and learns from the score that they return; the same command goes on.

    ``key=a,b`` is a choice, ``key=range(5,60,5)`` a number of a grid, ``key=interval(0.1,10)`` a number between
    (``int(interval(1,9))``, ``tag(log,interval(...))``); everything else is fixed.

    Parameters
    ----------
    trials : jobs in all, those of earlier starts included, but not those that failed
    batch : jobs proposed at a time; as many as the launcher's workers
    seed : of Optuna's draws
    score : what jobs return, unless ``score=`` is typed
    folder : a journal for each search
    """

    def __init__(self, trials: int, batch: int, seed: int, score: str, folder: str) -> None:
        if find_spec("optuna") is None:
            raise ConfigError('hydra/sweeper=optuna needs Optuna: pip install "opal[search]"')
        given = {"hydra.sweeper.trials": trials, "hydra.sweeper.batch": batch, "hydra.sweeper.seed": seed}
        for key, least in zip(given, (1, 1, 0), strict=True):
            check_number(key, given[key], least, whole=True)
        self.trials, self.batch, self.seed, self.score, self.folder = trials, batch, seed, score, Path(folder)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        self.hydra_context = hydra_context

    def sweep(self, arguments: list[str]) -> Any:
        """Search.

        Raises
        ------
        ConfigError : nothing to search, or another process is at work on the same search
        OpalError : what the jobs raised, where not one of them has a score
        """
        from filelock import FileLock, Timeout

        from opal.evaluate.metrics import higher_is_better  # here: Hydra imports every plugin at each start

        assert self.hydra_context is not None
        parsed = OverridesParser.create(self.hydra_context.config_loader).parse_overrides(arguments)
        if not any(o.get_key_element() == "score" for o in parsed):
            parsed += OverridesParser.create().parse_overrides([f"score={self.score}"])
        fixed = [str(o.input_line) for o in parsed if not o.is_sweep_override()]
        space = {o.get_key_element(): distribution(o) for o in parsed if o.is_sweep_override()}
        if not space:
            raise ConfigError(
                "hydra/sweeper=optuna has nothing to search: type a choice such as method=smote,duplicate"
            )
        score = next(str(o.value()) for o in parsed if o.get_key_element() == "score")
        if higher_is_better(score.rpartition("/")[2]):
            raise ConfigError(f"score={score} is better when larger, but the least is searched: name an error")
        self._say(score)
        told = json.dumps(sorted(str(o.input_line) for o in parsed))
        journal = self.folder / f"{hashlib.sha256(told.encode()).hexdigest()[:12]}.journal"
        journal.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(journal.with_suffix(".search"), timeout=0):
                # Optuna's own lock, held for the time of a write: whoever left it there is gone
                Path(f"{journal}.lock").unlink(missing_ok=True)
                return self._search(journal, fixed, space, score)
        except Timeout:
            raise ConfigError(f"another process is at work on the same search ({journal}): wait for it") from None

    def _say(self, score: str) -> None:
        if score.startswith("validation"):
            what = "balanced validation error" if score == "validation" else score
            log.info("opal: searching for the least %s, measured on folds of train rows: no test row decides", what)
        else:
            log.warning(
                "opal: searching for the least %s, measured on test rows: the least one found is too good to be true; "
                "score=validation decides by train rows",
                score,
            )

    def _search(self, journal: Path, fixed: list[str], space: dict[str, "BaseDistribution"], score: str) -> Any:
        from optuna.trial import TrialState

        assert self.config is not None and self.launcher is not None
        sweep_dir = Path(self.config.hydra.sweep.dir)
        sweep_dir.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, sweep_dir / "multirun.yaml")
        study = self._open(journal)
        number, faults = 0, 0
        while (missing := self.trials - len(study.get_trials(False, (TrialState.COMPLETE,)))) > 0:
            asked = [study.ask(space) for _ in range(min(self.batch, missing))]
            overrides = [[*fixed, *(f"{k}={v}" for k, v in trial.params.items())] for trial in asked]
            self.validate_batch_is_legal(overrides)
            returns: Sequence[JobReturn] = self.launcher.launch(overrides, initial_job_idx=number)
            number += len(asked)
            for trial, job in zip(asked, returns, strict=True):
                value = job.return_value if job.status == JobStatus.COMPLETED else None
                if value is None or math.isnan(value):
                    study.tell(trial, state=TrialState.FAIL)
                    faults += 1
                else:
                    study.tell(trial, value)
            if faults > self.trials:  # more faults than scores wanted: the settings are wrong, not their values
                _ = returns[-1].return_value  # raises what the job did
                raise ConfigError(f"{faults} jobs gave no {score}: nothing to search by")
        best = study.best_trial
        chosen = " ".join(f"{k}={v}" for k, v in best.params.items())
        typed = " ".join(o for o in fixed if not o.startswith("score="))
        log.info("opal: least %s of %d: %.4g with %s", score, self.trials, best.value, chosen)
        log.info("opal: its run is recorded, with its error on test rows: python -m opal.run %s %s", chosen, typed)
        return best.value

    def _open(self, journal: Path) -> "Study":
        """The study; settings that a dead process was at are proposed again first."""
        import optuna
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
        from optuna.trial import TrialState

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        backend = JournalFileBackend(str(journal), JournalFileOpenLock(str(journal)))
        storage = optuna.storages.JournalStorage(backend)
        study = optuna.create_study(storage=storage, study_name="opal", load_if_exists=True)
        known = study.get_trials(False)
        # a seed of its own for each start: else a search that goes on would draw what it drew at first
        study.sampler = optuna.samplers.TPESampler(seed=self.seed + len(known), constant_liar=self.batch > 1)
        for trial in known:
            if trial.state == TrialState.RUNNING:
                study.tell(trial.number, state=TrialState.FAIL)
                study.enqueue_trial(trial.params)
        done = sum(t.state == TrialState.COMPLETE for t in known)
        if known:
            log.info("opal: going on with %s: %d of %d jobs have a score", journal, done, self.trials)
        return study


def distribution(override: Override) -> "BaseDistribution":
    """What Optuna draws from for one sweep override.

    Raises
    ------
    ConfigError : a glob, or an empty range
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value: Any = override.value()
    if isinstance(value, IntervalSweep):
        low: Any = value.start
        high: Any = value.end
        kind = IntDistribution if isinstance(low, int) and isinstance(high, int) else FloatDistribution
        return kind(low, high, log="log" in value.tags)
    if isinstance(value, RangeSweep):
        numbers = list(value.range())
        if numbers and all(isinstance(n, int) for n in numbers) and value.step > 0:
            return IntDistribution(numbers[0], numbers[-1], step=int(value.step))
        return CategoricalDistribution(numbers)
    if isinstance(value, ChoiceSweep):
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    raise ConfigError(f"hydra/sweeper=optuna cannot search {override.input_line}")
