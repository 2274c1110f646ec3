"""What should I do with this table? The answer of the newest sweep, or of another one, from the store.

  opal answer

A sweep's name after it (as in sweep/NAME of the MLflow UI) chooses that one. opal.answer is also a module:
python -m opal.answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opal.cli.exits import one_sentence
from opal.cli.flags import Parser
from opal.errors import TrackingError
from opal.evaluate.verdict import MARGIN
from opal.record.read import errors_of
from opal.record.tracking import Tracking, existing_store
from opal.record.ui_view import TRIALS

if TYPE_CHECKING:
    from mlflow.entities import Run


def main(arguments: list[str] | None = None) -> None:
    """Exit status 2, and one sentence, on an error."""
    given = parser().parse_args(arguments)
    with one_sentence():
        tracking = existing_store(given.uri, given.experiment)
        answer(tracking, runs_of(tracking, given.sweep), given.margin)


def runs_of(tracking: Tracking, sweep: str | None) -> list[Run]:
    """The finished trials of a sweep; by default of the newest one, or the newest trial where none was a sweep.

    Raises
    ------
    TrackingError : there is none
    """
    newest = tracking.runs(TRIALS if sweep is None else f"{TRIALS} and tags.`opal.sweep_id` = '{sweep}'")
    if not newest:
        wanted = "finished run" if sweep is None else f"finished run of the sweep {sweep}"
        raise TrackingError(f"there is no {wanted} of experiment {tracking.experiment!r} in {tracking.uri}")
    mine = newest[0].data.tags.get("opal.sweep_id", "")
    return [run for run in newest if run.data.tags.get("opal.sweep_id", "") == mine] if mine else newest[:1]


def answer(tracking: Tracking, runs: list[Run], margin: float) -> None:
    """Print the answers.

    Raises
    ------
    TrackingError : the runs measured no validation errors
    """
    from opal.report.answer import Finished, answers_of, show

    given = [Finished.of(run, errors_of(tracking, run)) for run in reversed(runs)]  # in order of start
    if not (found := answers_of(given, margin)):
        raise TrackingError(
            "these runs measured no validation errors to choose by: run them with validation.folds=2 or more, controls "
            "and a method that makes rows"
        )
    show(found)


def parser() -> Parser:
    """The command line."""
    parser = Parser("answer", __doc__)
    parser.add_argument("sweep", nargs="?", help="name of a sweep, as `opal run` prints it (default: the newest)")
    parser.add_argument("--margin", type=float, default=MARGIN, help="differences up to this size do not matter")
    parser.add_argument("--uri", help="MLflow store that holds the runs (default: the one here)")
    parser.add_argument("--experiment", default="opal", help="MLflow experiment that holds the runs")
    return parser


if __name__ == "__main__":
    main()
