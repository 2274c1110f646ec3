"""python -m opal.run: build the trial, run it, record it, return the score."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from opal import helper
from opal.cli.exits import FAILED, INTERRUPTED, leave
from opal.cli.launch import launch
from opal.cli.prepare import fetch_paper, find_table, limit_budget, typed
from opal.config.build import CONF, build, instantiate
from opal.config.resolve import resolved
from opal.config.validation import check_top_level
from opal.errors import AlreadyReported, OpalError
from opal.sweep import outstanding
from opal.sweep.callback import Callback
from opal.sweep.ending import Ending, sweep_id
from opal.sweep.notes import raw_fits
from opal.sweep.outstanding import Recording

if TYPE_CHECKING:
    from opal.record.tracking import Tracking
    from opal.report.run_artifacts import Job
    from opal.result import TrialResult
    from opal.table import Table
    from opal.trial.trial import Trial

log = logging.getLogger("opal")


@hydra.main(version_base="1.3", config_path=CONF, config_name="run")
def job(config: DictConfig) -> float | None:
    """One Hydra job: one trial, one MLflow run. Returns the score."""
    ending = Ending.of_job()
    try:
        return run(config, ending)
    except Exception as fault:
        sentence = ending.failed(fault)
        if not sentence:
            raise
        status = fault.status if isinstance(fault, OpalError) and not sweep_id() else FAILED
        raise AlreadyReported(sentence, status) from fault


def run(composed: DictConfig, ending: Ending) -> float | None:
    """Run the trial unless a finished run has its hash; record and print it.

    What a trial needs is imported once it is known that there is one to run.
    """
    limit_budget(composed, sweep_id() or Path(HydraConfig.get().runtime.output_dir).name)
    fetch_paper(composed, choices())
    config = resolved(composed)
    find_table(config)
    check_top_level(config, "run")
    table = instantiate(config, "data")
    tracking = instantiate(config, "tracking")
    if config["dry_run"]:
        forecast(config, table)
        return None
    from opal.record.config_hash import config_hash

    digest = config_hash(config, table, instantiate(config, "method").model)
    outstanding.settle(digest)
    if (found := tracking.known(digest)) and config["score"] in found.metrics:
        ending.skipped(found)
        return found.metrics[config["score"]]
    return record(config, table, tracking, digest, ending)


def forecast(config: dict[str, Any], table: Table) -> None:
    """Print what ``dry_run=true`` says."""
    trial = build(config, table, choices()["method"], fits=False)
    from opal.trial.score import resolve_score

    resolve_score(config["score"], trial)
    print(f"{trial.table.name}, method={choices()['method']}: {trial.forecast()}")


def record(config: dict[str, Any], table: Table, tracking: Tracking, digest: str, ending: Ending) -> float | None:
    """Run the trial, record it under its hash, print it; returns the score."""
    if choices()["hydra/launcher"] == "basic":  # processes of other launchers have no core left for a helper
        tracking.load()
    trial = build(config, table, choices()["method"])
    from opal.data.outline import at_a_glance
    from opal.data.told import tell_once
    from opal.data.traps import leaks_of
    from opal.evaluate.fits import share_raw_fits
    from opal.evaluate.metrics import BY_NAME
    from opal.progress import Progress
    from opal.record.environment import masked
    from opal.report.run_artifacts import Drawing, Job, describe, write
    from opal.trial.score import resolve_score, score

    metric = resolve_score(config["score"], trial)
    with ExitStack() as lock:
        known = lock.enter_context(tracking.claim(digest, wait_aloud))
        if known is not None:
            ending.skipped(known)
            return known.metrics.get(metric)
        start = time.perf_counter()
        if sweep_id():
            share_raw_fits(raw_fits(HydraConfig.get().sweep.dir))
        with Progress() as progress:
            result = trial.run(progress)
        result.warnings += [str(leak) for leak in leaks_of(trial.table)]
        started = Job(choices(), [masked(word) for word in typed()], sweep_id())
        described = describe(config, trial, result, digest, started)
        described.seconds = time.perf_counter() - start
        summary = result.summary(trial.table.name, started.choices["method"], started.choices["classifier"])
        recorded = tracking.begin(
            described,
            lambda folder: write(folder, config, trial, result, summary, started),
            Drawing.of(trial, result, described.name) if config["figures"] else None,
        )
        told = partial(ending.recorded, described.status, described.name)
        recording = Recording(digest, lock.pop_all(), recorded, told, ending.failed)
    if later := bool(sweep_id()) and helper.running():
        outstanding.leave(recording)
    if config.get("show") != "published":
        for sentence in at_a_glance(trial.table, BY_NAME[trial.chosen_by].words):
            tell_once(sentence)
    if config.get("show") == "published" or (not sweep_id() and not print_answer(trial, result, started)):
        print(summary)
    for warning in result.warnings if sweep_id() else []:
        log.warning("opal: %s: %s", described.name, warning)
    if bill := result.bill():
        log.info("opal: %s", bill)
    if not later:
        recording.end()
    return score(result, metric)


def wait_aloud(why: str) -> None:
    """Say why this process waits for another, once that one need not wait for this."""
    outstanding.settle()
    log.info(why)


def print_answer(trial: Trial, result: TrialResult, started: Job) -> bool:
    """Print the answer of this one trial; False where it measured nothing to choose by."""
    from opal.report.answer import answer_of, show

    found = answer_of([(trial, result)], started.choices["classifier"], started.overrides)
    if found:
        show([found])
        for sentence in [note for note in result.notes if note not in result.conclusions]:
            print(sentence)
        for warning in result.warnings:
            print(f"WARNING: {warning}")
    return found is not None


def choices() -> dict[str, str]:
    """The option chosen in each group."""
    return {str(k): v for k, v in HydraConfig.get().runtime.choices.items()}


def main() -> None:
    """Run the jobs; then sum up the sweep, unless Ctrl-C ended it: the same command goes on with that one."""
    stopped = "stopped; what was finished is kept, and the same command goes on from there"
    try:
        try:
            launch(job, stopped)
        except SystemExit as stop:
            if stop.code != INTERRUPTED:
                Callback.sum_up()
            raise
        Callback.sum_up()
        if outstanding.any_lost():
            sys.exit(FAILED)
    except KeyboardInterrupt:
        leave(stopped, INTERRUPTED)


if __name__ == "__main__":
    main()
