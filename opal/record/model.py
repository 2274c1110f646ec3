"""A fitted model in MLflow's model format: signature, input example, requirements, a card."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import Any

import pandas as pd

from opal.record.connection import faults
from opal.record.runs import Runs

CARD = "MODEL_CARD.md"


def save_model(model: Any, folder: Path, card: str, described: dict[str, Any]) -> None:
    """Write ``model`` to ``folder``, which ``mlflow.pyfunc.load_model`` and ``mlflow.sklearn.load_model`` take.

    Parameters
    ----------
    card : Markdown, written beside the model
    described : by `describe`
    """
    import mlflow.sklearn

    with quietly():
        mlflow.sklearn.save_model(model, str(folder), **described)
    (folder / CARD).write_text(card, encoding="utf-8")


def register_model(model: Any, name: str, tracking: Runs, card: str, described: dict[str, Any]) -> str:
    """Log ``model`` in a run of its own, register it as ``name``, and return its version; arguments as `save_model`.

    Raises
    ------
    TrackingError : the store cannot be used, or refuses the name
    """
    import mlflow.sklearn

    with faults(tracking.uri), quietly():
        client, experiment = tracking.client, tracking.experiment_id  # looks at the store before MLflow does
        tags = {"opal.kind": "model"}
        with _at(str(tracking.uri)), mlflow.start_run(experiment_id=experiment, run_name=name, tags=tags):
            found = mlflow.sklearn.log_model(model, name="model", registered_model_name=name, **described)
            mlflow.log_text(card, CARD)
        client.update_model_version(name, str(found.registered_model_version), description=card)
    return str(found.registered_model_version)


@contextmanager
def _at(uri: str) -> Iterator[None]:
    """MLflow's address for the whole process, as it was before afterwards."""
    import mlflow

    before = os.environ.get("MLFLOW_TRACKING_URI")  # where MLflow keeps it, too
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)  # type: ignore[arg-type]  # None: none is set


def describe(model: Any, example: pd.DataFrame, packages: Sequence[str], labels: Sequence[Any]) -> dict[str, Any]:
    """What MLflow keeps with ``model``: signature, example, requirements, format and classes.

    Parameters
    ----------
    example : some rows as the model takes them
    packages : what the model needs; named with the versions of today
    labels : its classes
    """
    from mlflow.models import ModelSignature, infer_signature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import AnyType

    stored = _format_of(model)
    pins = [f"{name}=={version(name)}" for name in ("mlflow", stored["serialization_format"], *packages)]
    metadata = {"metadata": {"classes": [str(label) for label in labels]}}
    # any: MLflow refuses whole numbers where a double is wanted, and gaps among whole numbers
    texts = [not pd.api.types.is_numeric_dtype(dtype) for dtype in example.dtypes]
    optional = example.isna().any().tolist()
    inputs: list[Any] = [
        ColSpec("string" if text else AnyType(), str(name), required=not gaps)
        for name, text, gaps in zip(example.columns, texts, optional, strict=True)
    ]
    with quietly():
        shape = ModelSignature(Schema(inputs), infer_signature(example, model.predict(example)).outputs)
    return {"signature": shape, "input_example": example.head(3), "pip_requirements": pins} | stored | metadata


def _format_of(model: Any) -> dict[str, Any]:
    """Skops, which runs no code of the file when it is loaded, where it can hold the model; else cloudpickle."""
    import mlflow.sklearn

    if "skops_trusted_types" in signature(mlflow.sklearn.save_model).parameters:  # MLflow 3.5 has none
        with suppress(Exception):  # skops has no error of its own for what it cannot hold
            from skops.io import dumps, get_untrusted_types, loads

            stored = dumps(model)
            types = get_untrusted_types(data=stored)
            loads(stored, trusted=types)
            return {"serialization_format": "skops", "skops_trusted_types": types}
    return {"serialization_format": "cloudpickle"}


@contextmanager
def quietly() -> Iterator[None]:
    """Without MLflow's hints, which are for those who call it by hand."""
    log = logging.getLogger("mlflow")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
