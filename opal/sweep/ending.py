"""How a job of `opal run` says how it ended."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from opal.cli.exits import FULL, disk_full
from opal.cli.prepare import typed
from opal.errors import OpalError
from opal.sweep.notes import note_job

if TYPE_CHECKING:
    from opal.record.finished import Finished

FEWER = "ask for fewer rows (amounts.size, amounts.steps, task.train_rows), or run fewer fits at a time (n_jobs)"
log = logging.getLogger("opal")


@dataclass(frozen=True)
class Ending:
    """Says how a job ended: in the log, and to the sweep's own run.

    Parameters
    ----------
    sweep_dir : None outside a sweep
    typed : the job's overrides
    """

    sweep_dir: Path | None
    number: int
    typed: str

    @classmethod
    def of_job(cls) -> Ending:
        """Of the job that this process is at."""
        hydra_config, sweep = HydraConfig.get(), sweep_id()
        folder = Path(hydra_config.sweep.dir) if sweep else None
        return cls(folder, hydra_config.job.num if sweep else 0, " ".join(typed()))

    def note(self, outcome: Any, run_id: str = "", name: str = "", error: str = "") -> None:
        """Leave a note for the sweep's own run."""
        if self.sweep_dir:
            note_job(self.sweep_dir, self.number, outcome, run_id, name, error)

    def failed(self, fault: Exception) -> str:
        """Tell a fault in one sentence, which is returned; "" where it may be OPAL's own."""
        with suppress(OSError):  # a full disk: the fault is told all the same
            self.note("failed", name=self.typed, error=" ".join(str(fault).split()) or type(fault).__name__)
        sentence = str(fault) if isinstance(fault, OpalError) else ""
        if isinstance(fault, MemoryError):
            sentence = f"not enough memory ({fault}): {FEWER}"
        elif disk_full(fault):
            sentence = FULL
        log.error("opal: %s", sentence or f"{self.typed} failed: {type(fault).__name__}: {fault}")
        return sentence

    def skipped(self, found: Finished) -> None:
        """A finished run makes this one unnecessary."""
        log.info("opal: %s is finished already; tracking.existing=rerun repeats it", found.name)
        self.note("skipped", found.run_id, found.name)

    def recorded(self, status: str, name: str, run_id: str) -> None:
        """The result is in the store."""
        self.note(status, run_id, name)
        log.info("opal: recorded as %s (%s)", name, run_id)


def sweep_id() -> str:
    """Ties the jobs of one sweep, whatever process runs them: the name of the sweep's folder."""
    hydra_config = HydraConfig.get()
    return Path(hydra_config.sweep.dir).name if hydra_config.mode == RunMode.MULTIRUN else ""
