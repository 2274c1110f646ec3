"""Columns of dates and times: which they are, and in what format."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import pandas as pd

from opal.data.numbers import is_missing
from opal.data.told import tell_once
from opal.dates import DateFormat
from opal.errors import ConfigError

# Between points the day comes first (as in German); between slashes and hyphens it may be the month.
DAYS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d.%m.%y"),
    *("%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%y", "%m-%d-%y"),
    *("%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%d %B %Y", "%d. %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%Y-%m"),
)
_CLOCK = re.compile(
    r"(?P<gap>[ T]?)\d\d?:\d\d(?P<s>:\d\d(?P<f>\.\d{1,6})?)?(?P<p> [AaPp][Mm])?(?P<z>Z|[+-]\d\d:?\d\d)?"
)
_LIKE = re.compile(r"\d{1,4}[-/.]\d\d?([-/.]\d{2,4})?\b.*|.*\b[A-Za-z]{3,9}\b.*\d.*|\d\d?:\d\d\b.*")
MOST_LETTERS = 40
SAMPLE = 1_000  # different values that decide about leading zeros
FEWEST = 3  # different values; two are a binary column


def with_dates(
    frame: pd.DataFrame, kinds: Mapping[str, Any] | None, keep: Collection[str], key: str = "data.kinds"
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """``frame`` with columns of dates as whole numbers, and ``kinds`` with their formats.

    A column of text is one of dates where all its values have one format. Where day and month could be either way
    round, the frame's other columns decide.

    Parameters
    ----------
    frame : in the plain dtypes of opal.data.build.normalise
    kinds : as of opal.data.build.Common; ``date``, or ``{kind: date, format: ...}`` with directives of ``strptime``,
        makes dates of a column, any other kind leaves it as it is
    keep : columns that stay as they are
    key : the option that ``kinds`` came from, for messages

    Raises
    ------
    ConfigError : day and month cannot be told apart, or a column that should be dates is not
    """
    given: dict[str, Any] = {str(name): kind for name, kind in (kinds or {}).items()}
    fits: dict[str, list[DateFormat]] = {}
    for name in (n for n in frame.columns if n not in keep):
        wanted = given.get(name)
        if kind_of(wanted) == "date":
            fits[name] = _forced(frame[name], wanted, f"{key}.{name}")
        elif wanted is None and not pd.api.types.is_numeric_dtype(frame[name].dtype):
            fits[name] = formats_of(frame[name])
    fits = {name: formats for name, formats in fits.items() if formats}
    first = [name for name, formats in fits.items() if len(formats) == 1]
    day_first = {f.directives.find("%d") < f.directives.find("%m") for n in first for f in fits[n] if _unsure(f)}
    out = frame.copy(deep=False) if fits else frame
    for name, formats in fits.items():
        if len(formats) > 1 and len(day_first) != 1:
            raise ConfigError(_question(frame[name], formats, f"{key}.{name}"))
        chosen = formats[0] if len(formats) == 1 or day_first == {True} else formats[1]
        out[name] = _numbers(frame[name], chosen)
        given[name] = {"kind": "date", "format": chosen.directives}
        tell_once(f"dates in {name}, as in {frame[name].dropna().iloc[0]}")
    return out, given


def formats_of(values: pd.Series) -> list[DateFormat]:
    """The formats that all values of a text column have: none, one, or two that swap day and month."""
    different = values.dropna().unique()
    if not all(_LIKE.fullmatch(text) for text in _known(different[:20])):
        return []  # most columns of names end here, however many rows they have
    known = _known(different)
    if len(known) < FEWEST or len(known[0]) > MOST_LETTERS or not all(_LIKE.fullmatch(text) for text in known[:20]):
        return []
    texts = pd.Series(known, dtype=object)
    found: dict[tuple[float, ...], DateFormat] = {}
    for form in _candidates(known[0]):
        numbers = form.numbers(texts)
        if numbers.notna().all():  # %b and %B read the same in May: one of them is enough
            found.setdefault(tuple(numbers), _as_written(form, known[:SAMPLE], numbers))
    return list(found.values())[:2]


def _known(values: Iterable[Any]) -> list[str]:
    """Values as different texts without blanks around them, those left out that mean "no value"."""
    return [text for text in dict.fromkeys(str(value).strip() for value in values) if not is_missing(text)]


def _candidates(text: str) -> list[DateFormat]:
    """The formats that one text has."""
    day, clock = text, ""
    if found := _CLOCK.search(text):
        if found.end() < len(text):
            return []
        day = text[: found.start()]
        seconds = ":%S" * bool(found["s"]) + ".%f" * bool(found["f"])
        hour, half = ("%I", " %p") if found["p"] else ("%H", "")
        zone = "Z" if found["z"] == "Z" else "%z" if found["z"] else ""
        clock = f"{found['gap']}{hour}:%M{seconds}{half}{zone}"
    days = [d for d in DAYS if _marks(re.sub("%.", "0", d)) == _marks(day)] if day else [""]
    return [form for d in days if (form := DateFormat(d + clock)).number(text) is not None]


def _marks(text: str) -> str:
    return re.sub(r"\w", "", text)


def _as_written(form: DateFormat, texts: list[str], numbers: pd.Series) -> DateFormat:
    """``form``, or its variant without leading zeros where that is how ``texts`` are written."""
    variants = (
        form.directives,
        re.sub("%([dm])", r"%-\1", form.directives),
        re.sub("%([HI])", r"%-\1", form.directives),
        re.sub("%([dmHI])", r"%-\1", form.directives),
    )
    for directives in variants:
        variant = DateFormat(directives)
        if all(variant.write(number) == text for number, text in zip(numbers, texts, strict=False)):
            return variant
    return form


def _forced(values: pd.Series, wanted: Any, key: str) -> list[DateFormat]:
    """The formats of a column that a person calls dates."""
    texts = _as_text(values)
    given = wanted.get("format") if isinstance(wanted, Mapping) else None
    if given is None:
        formats = formats_of(texts) or [f for f in (DateFormat("%Y%m%d"),) if not _misfit(texts, f)]
    else:
        formats = [DateFormat(str(given))]
    if not formats:
        seen = f"{texts.dropna().iloc[0]!r}" if texts.notna().any() else "no value"
        raise ConfigError(
            f"{key}=date, but the column holds {seen}: name the format, as in "
            f"{key}='{{kind: date, format: \"%d.%m.%Y\"}}'"
        )
    if given is not None and (odd := _misfit(texts, formats[0])):
        raise ConfigError(f"{key}.format={given!r} does not fit {odd!r}")
    return formats


def _misfit(texts: pd.Series, form: DateFormat) -> str:
    """The first text that does not have the format, or ""."""
    known = texts[texts.notna() & ~texts.map(lambda t: is_missing(str(t)))]
    odd = known[form.numbers(known).isna()]
    return str(odd.iloc[0]) if len(odd) else ""


def _numbers(values: pd.Series, form: DateFormat) -> pd.Series:
    numbers = form.numbers(_as_text(values)).rename(values.name)
    return numbers if numbers.isna().any() else numbers.astype("int64")


def _as_text(values: pd.Series) -> pd.Series:
    """20210304, also as 20210304.0 beside missing cells, as text."""
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.map(lambda v: f"{v:.0f}", na_action="ignore").astype(object)
    return values.astype(object)


def kind_of(wanted: Any) -> Any:
    """The kind that a value of ``kinds`` names."""
    return wanted.get("kind") if isinstance(wanted, Mapping) else wanted


def _unsure(form: DateFormat) -> bool:
    """Whether day and month are two numbers that could stand the other way round."""
    return bool(re.search(r"%-?d([/-])%-?m|%-?m([/-])%-?d", form.directives)) and "%Y-%m" not in form.directives


def _question(values: pd.Series, formats: list[DateFormat], key: str) -> str:
    day, month = (f"{key}='{{kind: date, format: \"{form.directives}\"}}'" for form in formats)
    return (
        f"column {values.name!r} holds dates such as {values.dropna().iloc[0]!r}, and no cell tells whether the day or "
        f"the month comes first: say {day} or {month}, or {key}=categorical if they are no dates"
    )
