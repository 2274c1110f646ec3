"""The runs of an MLflow experiment: their location, and how to find them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from opal.errors import TrackingError
from opal.record import pending, ui_view
from opal.record.connection import connect, faults, resolve_uri, sqlite_path

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient


@dataclass
class Runs:
    """The runs of one experiment.

    Parameters
    ----------
    uri : MLflow address; None is ``sqlite:///mlflow.db`` in the working folder, with artifacts in ``mlruns/``
    experiment : MLflow experiment; made when first used
    """

    uri: str | None = None
    experiment: str = "opal"

    def __post_init__(self) -> None:
        self.uri = resolve_uri(None if self.uri is None else str(self.uri))

    @property
    def root(self) -> Path:
        """The folder that holds ``mlruns/``: beside the SQLite file, else the working folder."""
        path = sqlite_path(str(self.uri))
        return path.parent if path else Path.cwd()

    @property
    def mlruns(self) -> Path:
        return self.root / "mlruns"

    @cached_property
    def client(self) -> MlflowClient:
        """Connected client; the first use of a new database initialises it under a lock.

        Raises
        ------
        TrackingError : the store cannot be reached, in one sentence
        """
        with faults(self.uri):
            return connect(str(self.uri), self.mlruns)

    @cached_property
    def experiment_id(self) -> str:
        """Id of the experiment, made when missing. Local artifacts go to ``mlruns/<experiment>``."""
        from mlflow.exceptions import MlflowException

        with faults(self.uri):
            for _ in range(2):  # another process may make it between our check and our attempt
                found = self.client.get_experiment_by_name(self.experiment)
                if found is not None and found.lifecycle_stage == "deleted":
                    raise TrackingError(
                        f"the MLflow experiment {self.experiment!r} is deleted: "
                        "restore it or choose another tracking.experiment"
                    )
                if found is not None:
                    return found.experiment_id
                remote = str(self.uri).startswith("http")
                place = None if remote else (self.mlruns / pending.clean_name(self.experiment)).as_uri()
                try:
                    made = self.client.create_experiment(self.experiment, place, tags=ui_view.experiment_tags())
                    self.client.set_experiment_tag(made, "mlflow.note.content", ui_view.description(made))
                    return made
                except MlflowException as err:
                    if err.error_code != "RESOURCE_ALREADY_EXISTS":
                        raise
            raise TrackingError(f"the MLflow experiment {self.experiment!r} can neither be read nor made")

    @property
    def ui(self) -> str:
        """Where the MLflow UI shows the runs: on the server, or where plain `mlflow ui` listens."""
        host = str(self.uri) if str(self.uri).startswith("http") else "http://127.0.0.1:5000"
        return host.rstrip("/") + ui_view.address(self.experiment_id)

    def runs(self, filter_string: str = "") -> list[Run]:
        """All runs of the experiment that match, newest first."""
        with faults(self.uri):
            found: list[Run] = []
            token = None
            while True:
                page = self.client.search_runs(
                    [self.experiment_id],
                    filter_string,
                    order_by=["attributes.start_time DESC"],
                    page_token=token,
                )
                found, token = found + list(page), page.token
                if not token:
                    return found

    def runs_of(self, config_hash: str) -> list[Run]:
        return self.runs(f"tags.`opal.config_hash` = '{config_hash}'")


def is_finished(run: Run) -> bool:
    """Whether the run is complete: both its tag and MLflow's status say so."""
    return run.data.tags.get("opal.status") == "finished" and run.info.status == "FINISHED"
