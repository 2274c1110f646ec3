"""What mlruns/ holds and its size, what no run refers to, and results waiting to be logged.

  opal store                  sizes
  opal store prune --yes      remove what no run refers to
  opal store log              log what a fault of the tracking server left behind

opal.store is also a module: python -m opal.store.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from opal.cli.exits import one_sentence
from opal.cli.flags import Parser
from opal.errors import TrackingError
from opal.record import pending
from opal.record.tracking import Tracking, existing_store


def main(arguments: list[str] | None = None) -> None:
    """Exit status 2, and one sentence, on an error."""
    given = parser().parse_args(arguments)
    with one_sentence():
        if given.verb == "log":
            log(Tracking(given.uri, given.experiment), given.folders)
        else:
            if given.responses and not given.responses.is_dir():
                raise TrackingError(f"--responses {given.responses} is not a folder")
            show(existing_store(given.uri, given.experiment), given.responses, given.verb == "prune", given.yes)


def show(tracking: Tracking, responses: Path | None, prune: bool, sure: bool) -> None:
    """Print sizes by kind; with ``prune`` and ``sure`` remove what no run refers to."""
    from rich.console import Console
    from rich.table import Table

    from opal.record import disk_usage

    found = disk_usage.kinds(tracking, responses)
    shown = Table(title=str(tracking.mlruns))
    for name in ("kind", "number", "size", "no run refers to", "size of these"):
        shown.add_column(name, justify="left" if name == "kind" else "right")
    for kind in found:
        unused = (str(len(kind.unused)), _readable(kind.unused_size)) if kind.unused else ("", "")
        shown.add_row(kind.name, str(kind.count), _readable(kind.size), *unused)
    shown.add_section()
    total, unused_total = sum(k.size for k in found), sum(k.unused_size for k in found)
    shown.add_row("all", "", _readable(total), str(sum(len(k.unused) for k in found)), _readable(unused_total))
    console = Console()
    console.print(shown)
    if waiting := pending.folders(tracking.mlruns):
        console.print(f"{len(waiting)} results wait to be logged: python -m opal.store log")
    if prune and sure:
        console.print(f"Removed what no run refers to: {_readable(disk_usage.prune(tracking, found))}")
    elif unused_total:
        console.print("python -m opal.store prune --yes removes what no run refers to; answers cost money to ask again")


def log(tracking: Tracking, folders: list[Path]) -> None:
    """Record the results in ``folders``, by default all pending ones.

    Raises
    ------
    TrackingError : one of them could not be logged; the others are
    """
    aside = sorted(p for p in Path(tempfile.gettempdir()).glob("opal-pending-*") if pending.complete(p))
    chosen = folders or pending.folders(tracking.mlruns) + aside
    if not chosen:
        print("Nothing waits to be logged.")
    failed: list[str] = []
    for folder in chosen:
        try:
            print(f"{folder}: logged as {tracking.log_pending(folder)}")
        except TrackingError as fault:
            failed.append(str(fault))
    if failed:
        raise TrackingError(f"{len(failed)} of {len(chosen)} could not be logged: {failed[0]}")


def _readable(size: int) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000  # type: ignore[assignment]
    return f"{size:.1f} GB"


def parser() -> Parser:
    """The command line."""
    parser = Parser("store", __doc__)
    parser.add_argument("verb", nargs="?", choices=("size", "prune", "log"), default="size")
    parser.add_argument("folders", nargs="*", type=Path, help="for log: folders that keep a result (default: all)")
    parser.add_argument("--uri", help="MLflow store (default: the one here)")
    parser.add_argument("--experiment", default="opal", help="MLflow experiment, for log")
    parser.add_argument("--responses", type=Path, help="folder of stored answers (default: mlruns/responses)")
    parser.add_argument("--yes", action="store_true", help="for prune: really remove")
    return parser


if __name__ == "__main__":
    main()
