"""Hydra's callbacks during a sweep, and the sweep's own run at its end."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback as HydraCallback
from omegaconf import DictConfig

from opal import helper
from opal.errors import OpalError
from opal.garbage import collect_rarely
from opal.orphans import end_with
from opal.sweep import outstanding
from opal.sweep.order import longest_first

log = logging.getLogger("opal")
LEADER = "OPAL_SWEEP_PROCESS"  # environment variable: the process that launched the sweep


class Callback(HydraCallback):
    """Remembers the sweep that this process launches, so that it can be summed up at the end, lost jobs included."""

    config: DictConfig | None = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        from opal.sweep.lost_jobs import outlive
        from opal.sweep.patches import start_jobs_by

        Callback.config = config
        os.environ[LEADER] = str(os.getpid())
        launcher = config.hydra.runtime.choices["hydra/launcher"]
        outlive(launcher, Path(config.hydra.sweep.dir))
        if launcher == "joblib":
            start_jobs_by(longest_first)

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        collect_rarely()
        if config.hydra.runtime.choices["hydra/launcher"] == "joblib":
            end_with(int(os.environ.get(LEADER, os.getpid())))

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Hydra keeps what every job returned: a thousand unused configurations would fill the memory."""
        job_return.cfg = job_return.hydra_cfg = None

    @classmethod
    def sum_up(cls) -> None:
        """Record the sweep that this process launched, jobs that failed included."""
        outstanding.settle()
        config, Callback.config = Callback.config, None
        if config is None:
            return
        from opal.config.build import instantiate, of_answer
        from opal.config.resolve import as_typed, resolved
        from opal.evaluate.verdict import MARGIN
        from opal.record import pending
        from opal.report.answer import show
        from opal.sweep.notes import notes, raw_fits
        from opal.sweep.repeated import repeated

        try:
            plain = resolved(config, "tracking", "answer")
            tracking = instantiate(plain, "tracking")
            margin = of_answer(plain).get("margin", MARGIN)
            folder = Path(config.hydra.sweep.dir)
            shutil.rmtree(raw_fits(folder), ignore_errors=True)
            if pending.any_left(tracking.mlruns):
                helper.call(tracking.mend_sweeps)
            if known := repeated(tracking, notes(folder), margin):
                show(known[1])
                log.info("opal: every run is finished already, and the sweep summed up as %s", known[0])
                return
            from opal.record.environment import masked
            from opal.report.figures.sweep import sweep_figure
            from opal.sweep.summary import close_sweep

            swept = {"overrides": " ".join(as_typed(config.hydra.overrides.task))}
            if closed := helper.call(close_sweep, tracking, folder, folder.name, swept, sweep_figure, margin):
                answers, ui = closed
                show(answers)
                log.info("opal: the sweep is summed up as sweep/%s", folder.name)
                log.info("opal: `mlflow ui` shows the runs at %s", masked(ui))
            for job in notes(folder):  # printed by the jobs too, but a cluster's output is elsewhere
                if job["outcome"] == "failed" and config.hydra.runtime.choices["hydra/launcher"] != "basic":
                    log.error("opal: job %s (%s) failed: %s", job["job"], job["name"], job["error"])
        except OpalError as fault:
            log.error("opal: the sweep could not be summed up: %s", fault)
