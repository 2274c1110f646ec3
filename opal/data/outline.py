"""Short descriptions of a table and of its columns."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from opal.data.traps import worst_of
from opal.table import Column, Table

MOST_LEVELS = 6
MOST_TRAPS = 3


def outline(table: Table) -> str:
    """The table in a sentence: rows, features, classes and their shares."""
    counts = table.frame[table.schema.target].value_counts()
    n, features = len(table.frame), table.schema.features
    numbers, dates = sum(not c.nominal and not c.dates for c in features), sum(bool(c.dates) for c in features)
    of_dates = f", {dates} of dates" if dates else ""
    shares = ", ".join(f"{label} {count} ({count / n:.1%})" for label, count in counts.head(MOST_LEVELS).items())
    more = f" and {len(counts) - MOST_LEVELS} more classes" if len(counts) > MOST_LEVELS else ""
    return (
        f"{table.name}: {n:,} rows, {len(features)} features ({numbers} of numbers, "
        f"{len(features) - numbers - dates} of names{of_dates}); target {table.schema.target}: {shares}{more}; "
        f"short of rows: {', '.join(map(str, table.short))}"
    )


def at_a_glance(table: Table, measure: str) -> list[str]:
    """The outline and what a run chooses by; in a second sentence, if there are any, the traps that matter."""
    found = [trap.sentence for trap in worst_of(table)]
    more = f"; and {len(found) - MOST_TRAPS} more" if len(found) > MOST_TRAPS else ""
    traps = [f"traps: {'; '.join(found[:MOST_TRAPS])}{more} (opal look says what to do)"] if found else []
    return [f"{outline(table)}; chosen by: {measure}", *traps]


def range_of(column: Column, write: Callable[[float], str] | None = None) -> str:
    """The levels of names; the range of numbers and dates, written by ``write`` or with the column's decimals."""
    if column.nominal:
        shown = ", ".join(map(str, column.levels[:MOST_LEVELS]))
        return shown + (f", ... ({len(column.levels)} in all)" if len(column.levels) > MOST_LEVELS else "")
    if column.low != column.low:
        return "none"
    write = write or plain_writer(column)
    return f"{write(column.low)} to {write(column.high)}"


def plain_writer(column: Column) -> Callable[[float], str]:
    """How numbers and dates of ``column`` are written where no file shows it."""
    return column.dates.write if column.dates else partial(number_text, column=column)


def number_text(value: float, column: Column) -> str:
    """A number with the column's decimals, without zeros at its end."""
    text = f"{value:.{0 if column.kind == 'integer' else column.decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
