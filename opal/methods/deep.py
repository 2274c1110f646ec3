"""method=ctgan and method=tvae: a neural network fitted to each group's rows, from the optional package ctgan."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from opal.errors import ConfigError, MethodError
from opal.methods.by_group import ByGroup

MODELS = ("CTGAN", "TVAE")
MISSING = (
    'method={} needs the package ctgan: pip install "opal[ctgan]" (with PyTorch; its licence, BUSL-1.1, '
    "forbids a commercial service that makes synthetic data for others)"
)


class Deep(ByGroup):
    """Rows of a network fitted to the group alone, on the CPU with one thread, so that a seed gives the same rows.

    Missing numbers are the median while the network learns; which numbers of a new row are missing is copied from
    a train row drawn at random. Fewer rows than ``batch_size`` are drawn repeatedly (CTGAN) or are one batch (TVAE).
    Source: Xu, Skoularidou, Cuesta-Infante, Veeramachaneni, "Modeling Tabular Data using Conditional GAN",
    NeurIPS 2019.

    Parameters
    ----------
    model : "CTGAN" or "TVAE"
    options : arguments of the package's class of that name, ``epochs`` and ``batch_size`` among them

    Raises
    ------
    ConfigError : no such model or argument.
    MethodError : the package is missing.
    """

    least = 2

    def __init__(self, model: str, **options: Any) -> None:
        if model not in MODELS:
            raise ConfigError(f"method.model={model!r} must be one of {', '.join(MODELS)}")
        self.network, self.options = model, options
        try:
            self._new()
        except ImportError as error:
            raise MethodError(MISSING.format(model.lower())) from error
        except (TypeError, ValueError, AssertionError) as error:
            reason = str(error) or "CTGAN needs an even batch_size that pac divides"
            raise ConfigError(f"method={model.lower()} cannot use {options}: {reason}") from error

    @property
    def _name(self) -> str:
        return self.network

    def _new(self) -> Any:
        import ctgan

        return getattr(ctgan, self.network)(enable_gpu=False, **self.options)

    def _rows(self, own: np.ndarray, nominal: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
        missing = np.isnan(own)
        middle = [np.median(v[~gone]) if not gone.all() else 0.0 for v, gone in zip(own.T, missing.T, strict=True)]
        model = self._new()
        model.set_random_state(int(rng.integers(2**31)))  # the package puts the global states back afterwards
        with one_thread():
            try:
                model.fit(np.where(missing, middle, own), [int(k) for k in np.flatnonzero(nominal)])
                rows = np.asarray(model.sample(n), dtype=float)
            except (ValueError, RuntimeError) as error:
                reason = " ".join(str(error).split())
                raise MethodError(f"method={self.model.lower()} failed on {len(own)} train rows: {reason}") from error
        return np.where(missing[rng.integers(len(own), size=n)], np.nan, rows)


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: sums in the same order whatever the machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
