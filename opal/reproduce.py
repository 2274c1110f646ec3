"""Repeat a run from its own record, a model's stored answers included, and compare every figure.

  opal reproduce 1a2b3c4d5e6f

Exit status 0: all equal; 1: something differs; 2: it cannot be repeated. Also a module: python -m opal.reproduce.
"""

from __future__ import annotations

import copy
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import opal
from opal.cli.exits import one_sentence
from opal.cli.flags import Parser
from opal.config.build import build, instantiate
from opal.errors import DataError, OpalError, TrackingError
from opal.progress import Progress
from opal.record import inputs
from opal.record.config_hash import SCHEMA_VERSION, config_hash
from opal.record.differences import (
    Difference,
    compare_artifacts,
    compare_environment,
    compare_metrics,
    compare_versions,
)
from opal.record.provenance import CONFIG, RESPONSES, keys_of, model_of, read_config, read_table, unpack_responses
from opal.record.read import RUN_FILE, Recorded, load, load_export
from opal.record.run_record import points_of
from opal.record.tracking import existing_store
from opal.result import TrialResult
from opal.table import Table


def main(arguments: list[str] | None = None) -> None:
    """Exit status 0: all equal; 1: something differs; 2: the run cannot be repeated, said in one sentence."""
    given = parser().parse_args(arguments)
    with one_sentence(), tempfile.TemporaryDirectory(prefix="opal-reproduce-") as folder:
        recorded = recorded_run(given.run, given.to, given.experiment, Path(folder) / "run")
        if given.fresh:
            equal = fresh(recorded, given.trust)
        else:
            equal = repeat(recorded, Path(folder), given.recorded_data, given.trust)
    sys.exit(0 if equal else 1)


def recorded_run(reference: str, uri: str | None, experiment: str, folder: Path) -> Recorded:
    """The run that ``reference`` names: an exported folder, or a hash, id or name in the MLflow store.

    Raises
    ------
    TrackingError : there is none, or it is not a trial
    """
    if (Path(reference) / RUN_FILE).is_file():
        recorded = load_export(Path(reference))
    else:
        recorded = load(existing_store(uri, experiment), reference, folder)
    if not (recorded.artifacts / CONFIG).is_file():
        raise TrackingError(f"{recorded.name} ({recorded.run_id}) holds no {CONFIG}: only trials can be repeated")
    return recorded


def repeat(recorded: Recorded, folder: Path, recorded_data: bool = False, trusted: Sequence[str] = ()) -> bool:
    """Run the trial again from what the run logged, the model's stored answers included; True if all is equal.

    Parameters
    ----------
    recorded_data : do not look whether the data file has changed since
    trusted : packages whose code the record may name, beside OPAL's own and what its YAMLs name

    Raises
    ------
    OpalError : the record names other code, is damaged, or cannot be repeated here
    """
    config = read_config(recorded.artifacts, trusted)
    original = copy.deepcopy(config)
    differences = [] if recorded_data else data_difference(config, recorded)
    _replay(config, recorded, folder / "responses")
    result, table = run_again(config, recorded)
    written = folder / "again"
    written.mkdir()
    result.save(written, table.schema)
    summary = result.summary(table.name, recorded.params.get("method", ""), recorded.params.get("classifier", ""))
    (written / "summary.txt").write_text(summary + "\n", encoding="utf-8")
    older = version_of(recorded) != (opal.__version__, str(SCHEMA_VERSION))
    points = points_of(result)
    differences += compare_metrics(recorded.metrics, points, older)
    differences += compare_artifacts(recorded.artifacts, written, older)
    notes = compare_versions(recorded.metrics, points) if older else []
    notes += compare_environment(recorded.artifacts) + hash_difference(original, recorded, table)
    return _told(recorded, differences, notes)


def version_of(recorded: Recorded) -> tuple[str, str]:
    """Versions of OPAL and of the hash that a run was made with."""
    return recorded.tags.get("opal.version", ""), recorded.tags.get("opal.hash_version", "1")


def hash_difference(config: dict[str, Any], recorded: Recorded, table: Table) -> list[Difference]:
    """Notes on whether the recorded configuration has another hash now, or the hash rule has changed."""
    _, version = version_of(recorded)
    if version != str(SCHEMA_VERSION):
        return [Difference("version of the config hash", version, str(SCHEMA_VERSION), False)]
    inputs.redirect(config, recorded.artifacts / "inputs")
    now = config_hash(config, table, model_of(recorded.artifacts))
    same = now == recorded.config_hash
    return [] if same else [Difference("config hash", recorded.config_hash[:12], now[:12], False)]


def run_again(config: dict[str, Any], recorded: Recorded) -> tuple[TrialResult, Table]:
    """The trial of a recorded configuration, on the recorded table where the run kept it."""
    table = recorded_table(config, recorded)
    inputs.redirect(config, recorded.artifacts / "inputs")
    trial = build(config, table, recorded.params.get("method", ""))
    with Progress() as progress:
        return trial.run(progress), table


def recorded_table(config: dict[str, Any], recorded: Recorded) -> Table:
    """The table that the run kept, else the one its data source gives now.

    Raises
    ------
    DataError : the source gives another table than the run had
    """
    table = read_table(recorded.artifacts / "data")
    if table is None:
        table = instantiate(config, "data")
    expected = recorded.tags.get("opal.data_digest", table.digest)
    if table.digest != expected:
        raise DataError(f"data={table.name} has digest {table.digest} now; the run had {expected}")
    return table


def data_difference(config: dict[str, Any], recorded: Recorded) -> list[Difference]:
    """Whether a local file that the run read has changed since; the run's own copy is used in any case."""
    path = (config.get("data") or {}).get("path")
    if not isinstance(path, str) or not Path(path).is_file() or read_table(recorded.artifacts / "data") is None:
        return []
    try:
        digest = instantiate(config, "data").digest
    except OpalError as fault:
        digest = str(fault)
    expected = recorded.tags.get("opal.data_digest", "")
    return [Difference(f"data {path}", expected, digest, digest == expected)]


def fresh(recorded: Recorded, trusted: Sequence[str] = ()) -> bool:
    """Ask the model again, or draw with today's code, and report the difference; always True, as nothing is judged.

    Parameters
    ----------
    trusted : packages whose code the record may name, and hosts that may receive the user's key
    """
    config = read_config(recorded.artifacts, trusted, calls_model=True)
    client = (config.get("method") or {}).get("client")
    if isinstance(client, dict):
        client |= {"cache": "off", "store": "mlruns/responses"}  # a record says nothing about folders here
    result, table = run_again(config, recorded)
    kept = Path("mlruns") / "fresh" / f"{recorded.config_hash[:12]}-{time.strftime('%Y-%m-%d_%H-%M-%S')}"
    kept.mkdir(parents=True)
    result.save(kept, table.schema)
    _told_fresh(recorded, result)
    print(f"The new rows and errors are kept in {kept}")
    return True


def _replay(config: dict[str, Any], recorded: Recorded, store: Path) -> None:
    """Point the method's client, if it has one, at the answers that the run kept."""
    client = (config.get("method") or {}).get("client")
    if not isinstance(client, dict):
        return
    wanted = len(keys_of(recorded.artifacts / "prompts"))
    if unpack_responses(recorded.artifacts / RESPONSES, store) < wanted:
        raise TrackingError(f"{recorded.name} lacks some of its {wanted} stored answers: --fresh asks the model again")
    client |= {"model": model_of(recorded.artifacts), "server": None, "store": str(store), "cache": "replay"}
    client |= {"mode": "direct", "key_env": None, "key_command": None, "headers": None, "query": None, "budget": None}


def _told(recorded: Recorded, differences: list[Difference], notes: list[Difference]) -> bool:
    """Print what differs, and the verdict."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table as Printed

    # in a file or pipe wide enough for every value to stay in one piece
    console = Console(width=None if sys.stdout.isatty() else 200)
    unequal = [d for d in differences if not d.equal]
    shown = Printed(title=escape(f"{recorded.name} ({recorded.run_id})"))
    for name in ("compared", "recorded", "now", ""):
        shown.add_column(name, overflow="fold")
    groups = {"metrics": "metric ", "artifacts": "artifact "}
    for title, prefix in groups.items():
        group = [d for d in differences if d.what.startswith(prefix)]
        same = sum(d.equal for d in group)
        shown.add_row(title, str(len(group)), f"{same} equal", "equal" if same == len(group) else "DIFFERENT")
    for d in unequal[:40]:
        shown.add_row(*map(escape, (d.what, d.recorded, d.now)), "DIFFERENT")
    for d in notes:
        shown.add_row(*map(escape, (d.what, d.recorded, d.now)), "other" if unequal else "other, without effect")
    console.print(shown)
    if len(unequal) > 40:
        console.print(f"... and {len(unequal) - 40} more differences")
    console.print("Reproduced: all equal." if not unequal else f"NOT reproduced: {len(unequal)} differences.")
    return not unequal


def _told_fresh(recorded: Recorded, result: TrialResult) -> None:
    """Print the error by amount: recorded, new, and the mean paired difference over seeds with its 95 % interval."""
    import pandas as pd
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table as Printed

    from opal.evaluate.verdict import confidence_interval

    old = pd.read_csv(recorded.artifacts / "errors.csv")
    before = old[old["metric"] == "error"].pivot(index="seed", columns="amount", values="value")
    after = result.curve()
    shown = Printed(title=escape(f"{recorded.name}: asked again"))
    for name in ("synthetic rows", "recorded error", "new error", "difference", "95 % interval"):
        shown.add_column(name, justify="right")
    for amount in before.columns.intersection(after.columns):
        gap = (after[amount] - before[amount]).dropna().to_numpy()
        low, high = confidence_interval(gap)
        cells = (before[amount].mean(), after[amount].mean(), gap.mean())
        shown.add_row(str(amount), *(f"{c:.4f}" for c in cells), f"{low:.4f} to {high:.4f}")
    Console().print(shown)


def parser() -> Parser:
    """The command line."""
    parser = Parser("reproduce", __doc__)
    parser.add_argument("run", help="full or short hash, run id, run name, or folder of an exported run")
    parser.add_argument("--to", metavar="URI", help="MLflow store that holds the run (default: the one here)")
    parser.add_argument("--experiment", default="opal", help="MLflow experiment that holds the run")
    parser.add_argument("--fresh", action="store_true", help="ask the model again and report the difference")
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="let the record build what is in PACKAGE, such as your plugin; may be repeated",
    )
    parser.add_argument(
        "--recorded-data", action="store_true", help="do not look whether the data file has changed since"
    )
    return parser


if __name__ == "__main__":
    main()
