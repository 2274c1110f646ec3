"""Copy a run to a folder, enough to repeat it elsewhere without MLflow's store: opal reproduce FOLDER.

  opal export 1a2b3c4d5e6f --output run

opal.export is also a module: python -m opal.export.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from opal.cli.exits import one_sentence
from opal.cli.flags import Parser
from opal.errors import TrackingError
from opal.record.read import export, load
from opal.record.tracking import existing_store


def main(arguments: list[str] | None = None) -> None:
    """Exit status 2, and one sentence, on an error."""
    given = parser().parse_args(arguments)
    with one_sentence():
        print(f"{export_run(given.run, given.output, given.uri, given.experiment)} is in {given.output}")


def export_run(reference: str, output: Path, uri: str | None = None, experiment: str = "opal") -> str:
    """Copy the run that ``reference`` names to ``output``; returns its name.

    Raises
    ------
    TrackingError : no such run, or ``output`` exists and is not empty
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise TrackingError(f"--output {output} exists already: name a new folder")
    tracking = existing_store(uri, experiment)
    part = output.with_name(output.name + ".part")  # complete or absent
    shutil.rmtree(part, ignore_errors=True)
    try:
        recorded = load(tracking, reference, part / "artifacts")
        export(recorded, part)
        if output.exists():
            output.rmdir()
        part.replace(output)
    except OSError as err:
        raise TrackingError(f"--output {output} cannot be written: {err.strerror}") from err
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return recorded.name


def parser() -> Parser:
    """The command line."""
    parser = Parser("export", __doc__)
    parser.add_argument("run", help="full or short hash, run id or run name")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="a new folder")
    parser.add_argument("--uri", help="MLflow store that holds the run (default: the one here)")
    parser.add_argument("--experiment", default="opal", help="MLflow experiment that holds the run")
    return parser


if __name__ == "__main__":
    main()
