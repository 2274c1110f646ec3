"""python -m opal.run: build the parts, run the trial, record it, return the score."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from opal.cli.launch import INTERRUPTED, launch
from opal.config.build import CONF, Parts, build, instantiate
from opal.config.build import run as run_parts
from opal.errors import AlreadyReported, OpalError
from opal.evaluate.curve import share_raw_fits
from opal.methods.llm import LLM
from opal.progress import Progress
from opal.record.config_hash import config_hash
from opal.report.run_artifacts import Job, describe, write
from opal.sweep.callback import Callback
from opal.sweep.summary import note_job, raw_fits
from opal.trial.score import resolve_score, score

FEWER = "ask for fewer rows (amounts.size, amounts.steps, task.train_rows), or run fewer fits at a time (n_jobs)"
log = logging.getLogger("opal")


@hydra.main(version_base="1.3", config_path=CONF, config_name="config")
def job(config: DictConfig) -> float | None:
    """One Hydra job: one trial, one MLflow run. Returns the score."""
    try:
        return run(config)
    except Exception as fault:
        typed = " ".join(HydraConfig.get().overrides.task)
        note("failed", name=typed, error=" ".join(str(fault).split()) or type(fault).__name__)
        if isinstance(fault, MemoryError):
            fault = OpalError(f"memory does not suffice ({fault}): {FEWER}")
        if not isinstance(fault, OpalError):
            log.error("opal: %s failed: %s: %s", typed, type(fault).__name__, fault)
            raise
        log.error("opal: %s", fault)
        raise AlreadyReported(str(fault)) from fault


def run(config: DictConfig) -> float | None:
    """Run the trial of ``config`` unless a finished run has its hash; record and print it."""
    own_budget(config)
    parts = build(config)
    metric = resolve_score(config.score, parts, config.contamination)
    if config.dry_run:
        print(forecast(config, parts))
        return None
    digest = config_hash(config, parts.table, parts.model)
    tracking = instantiate(config, "tracking")
    with tracking.claim(digest, log.info) as known:
        if known is not None:
            log.info("opal: %s is finished already; tracking.existing=rerun repeats it", known.info.run_name)
            note("skipped", known.info.run_id, known.info.run_name)
            return known.data.metrics.get(metric)
        start = time.perf_counter()
        if sweep_id():
            share_raw_fits(raw_fits(HydraConfig.get().sweep.dir))
        with Progress() as progress:
            result = run_parts(config, parts, choices()["method"], progress)
        started = Job(choices(), list(HydraConfig.get().overrides.task), sweep_id())
        record = describe(config, parts, result, digest, started)
        record.seconds = time.perf_counter() - start
        summary = result.summary(parts.table.name, started.choices["method"], started.choices["classifier"])
        run_id = tracking.log(
            record, lambda folder: write(folder, config, parts, result, summary, record.name, started)
        )
        note(record.status, run_id, record.name)
    print(summary)
    if bill := result.bill():
        log.info("opal: %s", bill)
    log.info("opal: recorded as %s (%s)", record.name, run_id)
    return score(result, metric)


def own_budget(config: DictConfig) -> None:
    """A budget without a scope of its own holds for this sweep, or for this run alone."""
    budget = OmegaConf.select(config, "llm.budget")
    if budget is not None and budget.get("scope") is None:
        budget.scope = sweep_id() or Path(HydraConfig.get().runtime.output_dir).name


def forecast(config: DictConfig, parts: Parts) -> str:
    """What the first round of requests of every seed would take; calls nothing."""
    name = f"{parts.table.name}, method={choices()['method']}"
    if not isinstance(parts.method, LLM):
        return f"{name}: asks no model, costs nothing"
    rows, total = 0, None
    for seed in config.seeds:
        train = parts.task.split(parts.table, seed).train
        n = max(parts.amounts(len(train.frame)))
        found = parts.method.forecast(train, n)
        rows, total = rows + n, found if total is None else total + found
    return f"{name}: {rows} rows over {len(config.seeds)} seeds, {total}"


def note(outcome: Any, run_id: str = "", name: str = "", error: str = "") -> None:
    """Leave word of this job for the sweep's own run."""
    if sweep_id():
        hydra_config = HydraConfig.get()
        note_job(Path(hydra_config.sweep.dir), hydra_config.job.num, outcome, run_id, name, error)


def choices() -> dict[str, str]:
    """The option chosen in each group."""
    return {str(k): v for k, v in HydraConfig.get().runtime.choices.items()}


def sweep_id() -> str:
    """Ties the jobs of one sweep, whatever process runs them: the name of the sweep's folder."""
    hydra_config = HydraConfig.get()
    return Path(hydra_config.sweep.dir).name if hydra_config.mode == RunMode.MULTIRUN else ""


def main() -> None:
    """Run the jobs; then sum up the sweep, unless Ctrl-C ended it: the same command goes on with that one."""
    try:
        launch(job, "stopped; what was finished is kept, and the same command goes on from there")
    except SystemExit as stop:
        if stop.code != INTERRUPTED:
            Callback.sum_up()
        raise
    Callback.sum_up()


if __name__ == "__main__":
    main()
