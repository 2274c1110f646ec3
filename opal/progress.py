"""Progress of long work on the terminal and in notebooks; silent elsewhere."""

from __future__ import annotations

import os
import sys
import time
from html import escape
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
        self._enabled = wanted() if enabled is None else enabled
        self._tokens = 0
        self._unit = "rows"
        self._bars: Any = None
        self._task: Any = None

    def __enter__(self) -> Progress:
        if self._enabled:
            self._bars = NotebookBar() if in_notebook() else terminal_bars()
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


def wanted() -> bool:
    """Whether bars can be seen: on a terminal, or in a notebook, but not below a notebook's ``!opal run``.

    Jupyter gives such a command a terminal of its own, and shows every frame of a bar as a line.
    """
    return in_notebook() or (sys.stderr.isatty() and "JPY_PARENT_PID" not in os.environ)


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    return "ipykernel" in sys.modules and sys.modules["IPython"].get_ipython() is not None


def terminal_bars() -> Any:
    """Rich's bars on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    return Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}{task.fields[tokens]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


class NotebookBar:
    """The same in a notebook's cell, gone at the end. Rich's own needs ipywidgets, and leaves lines without them."""

    EVERY = 0.2  # seconds between pictures

    def start(self) -> None:
        from IPython.display import display

        self._handle = display({"text/plain": ""}, raw=True, display_id=True)
        self._shown = 0.0

    def add_task(self, name: str, total: int, unit: str, tokens: str) -> int:
        self._name, self._total, self._unit, self._done = name, total, unit, 0
        return 0

    def remove_task(self, task: int) -> None:
        self._shown = 0.0  # the next stage is shown at once

    def update(self, task: int, advance: int, tokens: str) -> None:
        self._done += advance
        if time.monotonic() - self._shown < self.EVERY:
            return
        self._shown = time.monotonic()
        text = f"{self._name}: {self._done}/{self._total} {self._unit}{tokens}"
        bar = f'<progress max="{self._total}" value="{self._done}"></progress> {escape(text)}'
        self._handle.update({"text/html": bar, "text/plain": text}, raw=True)

    def stop(self) -> None:
        self._handle.update({"text/plain": ""}, raw=True)
