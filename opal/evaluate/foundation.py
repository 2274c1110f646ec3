"""classifier=tabicl: a tabular foundation model, from the optional package tabicl and a file of weights."""

from __future__ import annotations

from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from opal.data.download import address_and_digest, verified
from opal.errors import ConfigError, DataError
from opal.evaluate.classifiers import Classifier

FILE = "tabicl-classifier-v2-20260212.ckpt"
PAGE = "https://huggingface.co/jingang/TabICL"
NO_PACKAGE = 'tabicl needs the package tabicl: pip install "opal[tabicl]" (with PyTorch, large)'
GIVE = f"give the path of {FILE}, from {PAGE}"
NO_WEIGHTS = f"tabicl has no weights: set classifier.weights, or the variable OPAL_TABICL_WEIGHTS: {GIVE}"


def tabicl(weights: str | None = None, n_estimators: int = 8, random_state: int = 42) -> Classifier:
    """A transformer, trained on made-up tables, that reads the train rows as context and is not fitted to them.

    It runs on the CPU with one thread, so that the same weights give the same probabilities, and never downloads
    weights that the configuration does not name. It takes no row weights. Source: Qu, Holzmüller, Varoquaux and
    Le Morvan, "TabICL: A Tabular Foundation Model for In-Context Learning on Large Data", ICML 2025.

    Parameters
    ----------
    weights : a checkpoint of a classifier: its path, or its address followed by ``#sha256=`` and 64 hex digits, which
        is downloaded at the first fit and kept
    n_estimators : views of the table (columns and classes in another order) whose answers are averaged
    random_state : of the views

    Raises
    ------
    ConfigError : the package is missing, ``weights`` is not set, no file, or an address without a digest, or
        ``n_estimators`` is below 1
    """
    if find_spec("tabicl") is None:
        raise ConfigError(NO_PACKAGE)
    if not weights:
        raise ConfigError(NO_WEIGHTS)
    if n_estimators < 1:
        raise ConfigError(f"n_estimators={n_estimators} of tabicl must be a whole number, 1 or more")
    check_weights(weights)
    return Classifier(partial(_estimator, weights, n_estimators, random_state), encoding="table")


def check_weights(weights: str) -> None:
    """Raise ConfigError unless ``weights`` names a file that is there, or an address with a digest."""
    if "://" in weights:
        if address_and_digest(weights) is None:
            raise ConfigError(f"weights={weights} of tabicl needs the file's SHA-256, as in https://...#sha256=a5fd...")
    elif not Path(weights).expanduser().is_file():
        raise ConfigError(f"weights={weights} of tabicl is not a file: {GIVE}")


def located(weights: str) -> Path:
    """The file of ``weights``, downloaded if it is an address and not kept already.

    Raises
    ------
    DataError : the download fails, or brings another file than the digest names
    """
    import pooch

    remote = address_and_digest(weights)
    if remote is None:
        return Path(weights).expanduser().resolve()
    try:
        return verified(*remote, Path(pooch.os_cache("opal")))
    except DataError as fault:
        raise DataError(f"weights={weights} of tabicl: {fault}") from fault


def _estimator(weights: str, n_estimators: int, random_state: int) -> Any:
    from opal.evaluate.ordered_tabicl import OrderedTabICL

    path = located(weights)
    _check_checkpoint(path, path.stat().st_mtime_ns)
    return OrderedTabICL(
        n_estimators=n_estimators,
        random_state=random_state,
        model_path=str(path),
        allow_auto_download=False,
        device="cpu",
        n_jobs=1,
    )


@cache
def _check_checkpoint(path: Path, changed: int) -> None:
    """Raise ConfigError unless the file holds a classifier of TabICL's; a regressor's would give wrong probabilities.

    Parameters
    ----------
    changed : when it was, so that another file of that name is read again
    """
    import torch

    try:
        held = torch.load(path, map_location="cpu", weights_only=True)  # weights_only: runs no code of the file
        classes = held["config"].get("max_classes", 10)
    except Exception as fault:  # PyTorch's, pickle's, and a file of another form
        raise ConfigError(f"{path} is not a checkpoint of TabICL: {GIVE}") from fault
    if not classes:
        raise ConfigError(f"{path} is a regressor of TabICL, not a classifier: {GIVE}")
