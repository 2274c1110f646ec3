"""The published study's own files: fetched from its repository or a mirror, verified, kept, and read as a folder.

``paper_files.csv`` lists them: 315 files (task, table, rows, seed, kind, path, SHA-256, bytes) of the repository at one
commit, whose address is the default of ``paper.url``.
"""

from __future__ import annotations

import csv
import logging
import shutil
import sys
from functools import cache
from pathlib import Path
from typing import Any

from opal.data.download import over_http, reason
from opal.errors import ConfigError, DataError

log = logging.getLogger("opal")

ROWS = ("llm", "smote", "duplicate")


def fetch(task: str, data: str, rows: str, url: str, cache_dir: str | None = None) -> Path:
    """The folder with the study's splits and synthetic rows of one table; missing files are downloaded.

    Parameters
    ----------
    task : imbalanced or spurious
    rows : whose synthetic rows: llm, smote or duplicate
    url : address, or local folder, that the listed paths start from
    cache_dir : where files are kept (default: the user's cache)

    Raises
    ------
    ConfigError : the study has no such files
    DataError : a file cannot be fetched, or is not the published one; it is not kept
    """
    import pooch
    import requests

    wanted = listed(task, data, rows)
    base = Path(str(cache_dir)).expanduser().resolve() if cache_dir else Path(pooch.os_cache("opal")) / "paper"
    folder = base / task / data / rows
    registry = {Path(entry["path"]).name: entry for entry in wanted}
    source = pooch.create(
        folder,
        base_url="",
        registry={name: f"sha256:{entry['sha256']}" for name, entry in registry.items()},
        urls={name: f"{url.rstrip('/')}/{entry['path']}" for name, entry in registry.items()},
    )
    pooch.get_logger().setLevel("WARNING")
    missing = [name for name in registry if not (folder / name).is_file()]
    if missing:
        log.info("opal: paper.rows=%s: fetching %d files of %s from %s", rows, len(missing), data, url)
    for name in _shown(list(registry), bool(missing)):
        try:
            source.fetch(name, downloader=_download)
        except (requests.RequestException, OSError) as error:
            raise DataError(
                f"paper.url={url} cannot be read ({reason(error)}): name a mirror or a folder of the files in "
                "paper.url, or a folder of your own in paper.folder"
            ) from error
        except ValueError as error:  # wrong digest; pooch has removed the file
            raise DataError(
                f"{source.get_url(name)} is not the published file: its SHA-256 is not {registry[name]['sha256']}; "
                "it was not kept"
            ) from error
    return folder


def listed(task: str, data: str, rows: str) -> list[dict[str, str]]:
    """The entries of the study's files for one table and one kind of synthetic rows.

    Raises
    ------
    ConfigError : there are none; names the available ones
    """
    if rows not in ROWS:
        raise ConfigError(f"paper.rows={rows} must be one of {', '.join(ROWS)}")
    found = [e for e in _manifest() if (e["task"], e["data"], e["rows"]) == (task, data, rows)]
    if not found:
        tables = sorted({e["data"] for e in _manifest() if e["task"] == task})
        raise ConfigError(
            f"paper.rows={rows}: the study has no files of data={data} with task={task}; it has {', '.join(tables)}"
        )
    return found


@cache
def _manifest() -> list[dict[str, str]]:
    with Path(__file__).with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _download(url: str, output_file: str, source: Any) -> None:
    """Pooch's downloader, and copies from a local folder."""
    if url.startswith(("http://", "https://")):
        over_http()(url, output_file, source)
    else:
        shutil.copyfile(Path(url).expanduser(), output_file)


def _shown(names: list[str], downloading: bool) -> Any:
    """``names``, with a bar on a terminal while files are fetched."""
    from rich.console import Console
    from rich.progress import track

    quiet = not (downloading and sys.stderr.isatty())
    return track(names, "fetching", console=Console(stderr=True), transient=True, disable=quiet)
