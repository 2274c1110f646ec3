"""python -m opal.run: build the parts, run the trial, record it, return the score."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from opal.errors import OpalError
from opal.parts import CONF, Parts, build, explained, instantiate, protect_seed
from opal.progress import Progress
from opal.record.config_hash import config_hash, generation_hash
from opal.record.log import DatasetInput, RunRecord, description_of, metrics_of, run_name, scalars
from opal.result import TrialResult
from opal.trial import run_trial

log = logging.getLogger("opal")


class JobFailed(OpalError):
    """A job's fault that was already said."""


@hydra.main(version_base="1.3", config_path=CONF, config_name="config")
def job(config: DictConfig) -> float | None:
    """One Hydra job: one trial, one MLflow run. The score is the mean error with the most synthetic rows."""
    try:
        return run(config)
    except OpalError as fault:
        log.error("opal: %s", fault)
        raise JobFailed(str(fault)) from fault


def run(config: DictConfig) -> float | None:
    """Run the trial of ``config`` unless a finished run has its hash; record and print it."""
    parts = build(config)
    digest = config_hash(config, parts.table)
    tracking = instantiate(config, "tracking")
    with tracking.claim(digest, log.info) as known:
        if known is not None:
            log.info("opal: %s is finished already; tracking.existing=rerun repeats it", known.info.run_name)
            return known.data.metrics.get("error")
        start = time.perf_counter()
        with Progress() as progress:
            result = run_trial(
                parts.table,
                parts.task,
                parts.method,
                parts.classifier,
                config.seeds,
                parts.amounts,
                parts.controls,
                config.n_jobs,
                progress,
                config.contamination,
            )
        record = describe(config, parts, result, digest)
        record.seconds = time.perf_counter() - start
        names = choices()
        summary = result.summary(parts.table.name, names["method"], names["classifier"])
        run_id = tracking.log(record, lambda folder: write(folder, config, result, summary, record.name))
    print(summary)
    log.info("opal: recorded as %s (%s)", record.name, run_id)
    return float(result.curve().mean().iloc[-1])


def describe(config: DictConfig, parts: Parts, result: TrialResult, digest: str) -> RunRecord:
    """The run's record: what the design's contract names, as plain values."""
    names = choices()
    return RunRecord(
        name=run_name(parts.table.name, names["method"], names["classifier"], digest),
        config_hash=digest,
        generation_hash=generation_hash(config, parts.table),
        params=params(config, names),
        metrics=metrics_of(result.errors) + scalars(result.metrics | usage_metrics(result)),
        tags={"opal.kind": "trial", "opal.sweep_id": sweep_id()},
        dataset=DatasetInput.of(parts.table),
        description=description_of(result.errors),
        status="partial" if result.stopped else "finished",
    )


def usage_metrics(result: TrialResult) -> dict[str, float | None]:
    """Seconds by stage; for an LLM what its rows cost when first made (``llm/``) and what this run paid."""
    found: dict[str, float | None] = {f"time/{stage}": s for stage, s in result.timings.items()}
    usage, rows = result.usage, sum(len(r.frame) for r in result.rows.values())
    if not usage.requests:
        return found
    llm = ("requests", "prompt_tokens", "completion_tokens", "cached_tokens", "money")
    found |= {f"llm/{key}": getattr(usage, key) for key in llm}
    found |= {f"paid/{key}": getattr(usage, f"paid_{key}") for key in ("requests", "tokens", "money")}
    found |= {"paid/cache_hits": usage.cache_hits, "paid/retries": usage.retries, "time/llm": usage.seconds}
    if rows:
        found["llm/tokens_per_row"] = (usage.prompt_tokens + usage.completion_tokens) / rows
    return found | {f"funnel/{step}": count for step, count in result.funnel.as_dict().items()}


def params(config: DictConfig, names: dict[str, str]) -> dict[str, Any]:
    """The chosen option of every group, and the scalars beneath them that fit a table's cell."""
    shown = {k: v for k, v in names.items() if v and not k.startswith("hydra/")}
    shown["seeds"] = " ".join(map(str, config.seeds))
    for section in ("task", "method", "classifier", "amounts"):
        shown |= scalars_of(OmegaConf.to_container(config[section], resolve=True), section)
    return shown


def scalars_of(node: Any, path: str) -> dict[str, Any]:
    if isinstance(node, dict):
        found: dict[str, Any] = {}
        for key, value in node.items():
            if not str(key).startswith("_"):
                found |= scalars_of(value, f"{path}.{key}")
        return found
    return {path: node} if node is not None and len(str(node)) <= 250 and not isinstance(node, list) else {}


def write(folder: Path, config: DictConfig, result: TrialResult, summary: str, title: str) -> None:
    """Every artifact of the run."""
    from opal.report.figures import run_figures

    result.save(folder)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(config, resolve=True), encoding="utf-8")
    (folder / "summary.txt").write_text(summary + "\n", encoding="utf-8")
    run_figures(result.errors, folder / "figures", title)


def choices() -> dict[str, str]:
    """The option chosen in each group."""
    return {str(k): v for k, v in HydraConfig.get().runtime.choices.items()}


def sweep_id() -> str:
    """Ties the jobs of one sweep, whatever process runs them: the name of the sweep's folder."""
    hydra_config = HydraConfig.get()
    return Path(hydra_config.sweep.dir).name if hydra_config.mode == RunMode.MULTIRUN else ""


class Sweep(Callback):
    """Remembers the sweep that this process launches, so that ``main`` can sum it up at the end."""

    config: DictConfig | None = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        Sweep.config = config


def main() -> None:
    """One sentence for what a user can mend, nothing computed lost; HYDRA_FULL_ERROR=1 shows everything."""
    full = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then leaves the telling to us
    sys.argv[1:] = protect_seed(sys.argv[1:])
    try:
        job()
    except KeyboardInterrupt:
        sys.exit("opal: stopped; what was finished is kept, and the same command goes on from there")
    except (OpalError, HydraException) as fault:
        if full:
            raise
        if not isinstance(fault, JobFailed):
            print(f"opal: {sentence(fault)}", file=sys.stderr)
        sys.exit(1)


def sentence(fault: Exception) -> str:
    """What went wrong in one line."""
    if isinstance(fault, MissingConfigException) and fault.missing_cfg_file and fault.options:
        group, _, option = str(fault.missing_cfg_file).partition("/")
        return f"{group}={option} is no option; options: {', '.join(fault.options)}"
    return " ".join(str(explained(fault) or fault).split())


if __name__ == "__main__":
    main()
