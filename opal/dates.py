"""Dates and times: as text in one format, and as whole numbers, which is how everything else sees them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pandas as pd

DAY = 86_400  # seconds
CLOCK = ("%H", "%I")
_UNPADDED = re.compile(r"%-([dmHI])")


@dataclass(frozen=True)
class DateFormat:
    """How a column writes its dates.

    A date is a number of days since 1970-01-01, a date with a time a number of seconds since then (in UTC where the
    column names a zone), a time alone a number of seconds since midnight. Fractions of seconds are cut off.

    Parameters
    ----------
    directives : those of ``strptime``; ``%-d``, ``%-m``, ``%-H`` and ``%-I`` stand for numbers without leading zeros
    """

    directives: str

    @property
    def timed(self) -> bool:
        """Whether it has a time."""
        return any(mark in self._padded for mark in CLOCK)

    @property
    def dated(self) -> bool:
        """Whether it has a date."""
        return any(mark in self.directives for mark in ("%Y", "%y"))

    def numbers(self, texts: pd.Series) -> pd.Series:
        """Texts as float64, NaN where they are missing or have another format."""
        moments = pd.to_datetime(texts.str.strip(), format=self._padded, errors="coerce", utc=True)
        return self.of_moments(moments)

    def of_moments(self, moments: pd.Series) -> pd.Series:
        """Datetimes as float64, NaN where they are missing."""
        if moments.dt.tz is not None:
            moments = moments.dt.tz_convert("UTC").dt.tz_localize(None)
        return ((moments - pd.Timestamp(self._start)) // pd.Timedelta(seconds=self._unit)).astype("float64")

    def number(self, text: str) -> int | None:
        """The number of one text; None where it has another format."""
        try:
            moment = datetime.strptime(text.strip(), self._padded)
        except ValueError:
            return None
        return int((_plain(moment) - self._start) // timedelta(seconds=self._unit))

    def moments(self, numbers: pd.Series) -> pd.Series:
        """Numbers as datetimes without a zone."""
        return pd.Timestamp(self._start) + pd.to_timedelta(numbers.round() * self._unit, unit="s")

    def write(self, number: float) -> str:
        """The text of a number."""
        moment = self._start + timedelta(seconds=round(number) * self._unit)
        parts = {"d": moment.day, "m": moment.month, "H": moment.hour, "I": (moment.hour + 11) % 12 + 1}
        text = _UNPADDED.sub(lambda found: str(parts[found[1]]), self.directives)
        text = text.replace("%z", "+00:00").replace("%Y", f"{moment.year:04d}")
        return moment.strftime(text)

    @property
    def _padded(self) -> str:
        return self.directives.replace("%-", "%")

    @property
    def _unit(self) -> int:
        return 1 if self.timed else DAY

    @property
    def _start(self) -> datetime:
        return datetime(1970, 1, 1) if self.dated else datetime(1900, 1, 1)  # strptime's day of a time alone


def _plain(moment: datetime) -> datetime:
    """The same moment without a zone, in UTC."""
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
