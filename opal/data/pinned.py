"""Published tables with a pinned checksum over their values, from a local folder or their public source."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import pandas as pd

from opal.data.build import Common, build_table, check_name
from opal.data.download import over_http, reason
from opal.data.parse import parse_file
from opal.errors import DataError
from opal.table import Table, frame_digest

log = logging.getLogger("opal")

SUFFIXES = (".csv", ".arff", ".zip", ".parquet")


def load(
    name: str,
    urls: Sequence[str],
    page: str,
    columns: Mapping[str, str],
    digest: str,
    recode: Mapping[str, Mapping[str, Any]] | None = None,
    data_dir: str | None = None,
    cache_dir: str | None = None,
    **common: Unpack[Common],
) -> Table:
    """Load ``<data_dir>/<name>.csv`` (.arff, .zip, .parquet) if it exists, else download it once.

    Parameters
    ----------
    urls : addresses of the file, tried in order
    page : the page that offers the file to people, for messages
    columns : ``{name: dtype}`` in order; other columns of the file are left out
    digest : frame_digest (SHA-256, 32 hex digits) of the parsed values, checked wherever the file came from
    recode : ``{column: {text in the source: value}}``
    data_dir, cache_dir : local folder tried first; download folder (default: the user's cache)

    Raises
    ------
    DataError : neither folder nor any source has the file, or its values are not the published ones
    """
    check_name(str(name))
    dtypes = {str(c): str(t) for c, t in columns.items()}
    codes = {str(c): dict(m) for c, m in (recode or {}).items()}

    def read(path: str | Path) -> pd.DataFrame:
        return _verified(Path(path), name, dtypes, codes, digest)

    path = _local_file(data_dir, name) or _download(name, list(urls), page, data_dir, cache_dir, read)
    try:
        frame = read(path)
    except DataError as error:
        raise DataError(f"{error}; replace it with the file from {page}") from error
    return build_table(name, frame, source=str(path), **common)


def _local_file(data_dir: str | None, name: str) -> Path | None:
    if not data_dir:
        return None
    folder = Path(str(data_dir)).expanduser().resolve()
    return next((f for s in SUFFIXES if (f := folder / f"{name}{s}").is_file()), None)


def _download(
    name: str, urls: list[str], page: str, data_dir: str | None, cache_dir: str | None, read: Callable
) -> Path:
    """The file in the cache, fetched if needed; only a file that ``read`` accepts is ever moved there."""
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")  # a checksum of the bytes is not ours
    folder = Path(str(cache_dir)).expanduser().resolve() if cache_dir else Path(pooch.os_cache("opal")) / "data"
    cached = folder / f"{name}.download"
    if cached.is_file():
        return cached
    fetch = over_http()

    def fetch_and_check(url: str, output_file: str, caller: Any) -> None:
        fetch(url, output_file, caller)
        try:
            read(output_file)
        except DataError as error:  # the temporary name means nothing to a user
            raise DataError(str(error).replace(str(output_file), "the file")) from error

    faults = []
    for url in urls:
        log.info("opal: data=%s: downloading %s", name, url)
        try:
            pooch.retrieve(url, known_hash=None, fname=cached.name, path=folder, downloader=fetch_and_check)
            return cached
        except (requests.RequestException, OSError, ValueError, DataError) as error:
            why = str(error) if isinstance(error, DataError) else reason(error)
            faults.append(f"{url}: {why}")
            log.warning("opal: data=%s: %s failed (%s)", name, url, why)
    place = Path(str(data_dir)).expanduser().resolve() if data_dir else Path("data").resolve()
    hint = "" if data_dir else f" and set data_dir={place} (or OPAL_DATA_DIR)"
    raise DataError(
        f"data={name} could not be downloaded ({'; '.join(faults)}): get the file from {page}, "
        f"put it at {place / f'{name}.csv'}{hint}"
    )


def _verified(
    path: Path, name: str, columns: dict[str, str], recode: dict[str, dict[str, Any]], digest: str
) -> pd.DataFrame:
    frame = parse_file(path)
    as_given = {c.casefold(): c for c in columns}  # UCI serves one table with two spellings
    frame = frame.rename(columns=lambda c: as_given.get(str(c).casefold(), c))
    if missing := [c for c in columns if c not in frame.columns]:
        raise DataError(f"{path} is not the table {name!r}: it has no column {missing[0]!r}")
    frame = frame[list(columns)].copy()
    for column, codes in recode.items():
        frame[column] = frame[column].map(lambda v, codes=codes: codes.get(v, v))
    try:
        frame = frame.astype(columns)
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} is not the table {name!r}: {error}") from error
    if (found := frame_digest(frame)) != digest:
        raise DataError(f"{path} does not hold the published values of {name!r}: their digest is {found}, not {digest}")
    return frame
