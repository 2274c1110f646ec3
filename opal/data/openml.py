"""Any dense classification table of OpenML, by its id."""

from __future__ import annotations

from http.client import HTTPException
from pathlib import Path
from typing import Unpack

from opal.data.build import Common, build_table
from opal.errors import ConfigError, DataError
from opal.table import Table


def load(id: int | None, name: str | None = None, cache_dir: str | None = None, **common: Unpack[Common]) -> Table:
    """Fetch data set ``id`` once, then read it from the cache.

    Parameters
    ----------
    id : number of the data set, as in https://www.openml.org/d/31
    name : of the table; default: OpenML's
    cache_dir : download folder; default: scikit-learn's, in the home folder

    The target is OpenML's own unless ``target`` names another column.

    Raises
    ------
    ConfigError : no id, or a data set without a single default target
    DataError : unknown id, no connection, a sparse table
    """
    if id is None:
        raise ConfigError("data.id is not set: name the OpenML data set, for example data.id=31")
    from sklearn.datasets import fetch_openml

    page = f"https://www.openml.org/d/{id}"
    folder = str(Path(str(cache_dir)).expanduser().resolve()) if cache_dir else None
    try:
        bunch = fetch_openml(data_id=int(id), as_frame=True, parser="auto", data_home=folder, n_retries=2)
    except (OSError, HTTPException) as error:  # URLError and its kin
        raise DataError(
            f"OpenML data set {id} could not be fetched ({getattr(error, 'reason', None) or error}): "
            f"check the connection, or download it from {page} and read the file with data=csv data.path=FILE"
        ) from error
    except ValueError as error:  # unknown id, sparse, checksum
        raise DataError(f"OpenML data set {id} cannot be used ({error}): see {page}") from error
    default = bunch.target_names[0] if len(bunch.target_names) == 1 else None
    if not common.get("target") and default is None:
        raise ConfigError(
            f"OpenML data set {id} has no single default target: name a column with data.target; "
            f"columns: {', '.join(map(str, bunch.frame.columns))}"
        )
    common["target"] = common.get("target") or default
    return build_table(name or bunch.details.get("name", f"openml_{id}"), bunch.frame, page, **common)
