"""Progress of long work on the terminal; silent elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any


class Progress:
    """A bar per stage, with rows, tokens and the time left.

    Examples
    --------
    >>> with Progress() as progress:
    ...     progress.stage("rows of seed 1", rows=10)
    ...     progress.advance(rows=10, tokens=190)
    """

    def __init__(self, enabled: bool | None = None) -> None:
        self._enabled = sys.stderr.isatty() if enabled is None else enabled
        self._tokens = 0
        self._unit = "rows"
        self._bars: Any = None
        self._task: Any = None

    def __enter__(self) -> Progress:
        if self._enabled:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bars

            self._bars = Bars(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[unit]}{task.fields[tokens]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def stage(self, name: str, **total: int) -> None:
        """Begin a stage; ``total`` names its unit: ``rows=50`` or ``fits=30``."""
        self._unit, count = next(iter(total.items()))
        self._tokens = 0
        if self._bars is not None:
            if self._task is not None:
                self._bars.remove_task(self._task)
            self._task = self._bars.add_task(name, total=count, unit=self._unit, tokens="")

    def advance(self, tokens: int = 0, **done: int) -> None:
        """``rows=3, tokens=60``: progress since the last call."""
        self._tokens += tokens
        if self._bars is not None:
            text = f", {self._tokens:,} tokens" if self._tokens else ""
            self._bars.update(self._task, advance=done.get(self._unit, 0), tokens=text)
