"""Dates: which columns they are, as whole numbers inside, and written back as the column writes them."""

from __future__ import annotations

import re
import warnings
from datetime import date, datetime, timedelta

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given

from opal import OpalSampler
from opal.data import load_csv
from opal.data.build import build_table
from opal.data.dates import formats_of, with_dates
from opal.data.order import times_of
from opal.data.row_files import read_rows
from opal.data.write import write_table
from opal.dates import DateFormat
from opal.errors import ConfigError, DataError
from opal.evaluate.features import transformer
from opal.llm.rows.constrain import constraint, limits
from opal.llm.rows.obfuscate import Disguise
from opal.llm.rows.parse import Parser
from opal.llm.rows.write import lines
from opal.methods.smote import Smote
from opal.table import Group, Train

DIRECTIVES = [
    "%Y-%m-%d",
    "%d.%m.%y",
    "%-d/%-m/%Y",
    "%b %d, %Y",
    "%-d. %B %Y",
    "%Y-%m-%dT%H:%M:%SZ",
    "%d.%m.%Y %-H:%M",
    "%m/%d/%Y %I:%M %p",
    "%Y-%m-%d %H:%M:%S%z",
]


@given(st.sampled_from(DIRECTIVES), st.integers(0, 19_000), st.integers(0, 1439))
def test_what_is_written_is_read_back(directives, day, minute):
    form = DateFormat(directives)
    number = day * 86_400 + minute * 60 if form.timed else day
    text = form.write(number)
    assert form.number(text) == number
    assert form.numbers(pd.Series([text, None, "x"])).tolist()[0] == number
    assert form.moments(pd.Series([float(number)])).iloc[0] == datetime(1970, 1, 1) + timedelta(
        **({"seconds": number} if form.timed else {"days": number})
    )


@pytest.mark.parametrize(
    ("cells", "directives"),
    [
        (["2021-03-04", "2020-01-05", "2019-12-31"], ["%Y-%m-%d"]),
        (["2021-03-04", "2020-1-5", "2019-12-31"], ["%Y-%m-%d"]),
        (["04.03.2021", "31.12.2020", "01.01.2019"], ["%d.%m.%Y"]),
        (["01.02.2021", "03.04.2020", "05.06.2019"], ["%d.%m.%Y"]),  # between points the day comes first
        (["3/14/2021", "4/5/2021", "1/2/2020"], ["%-m/%-d/%Y"]),
        (["14/03/2021", "05/04/2021", "02/01/2020"], ["%d/%m/%Y"]),
        (["03/04/2021", "05/06/2021", "01/02/2020"], ["%d/%m/%Y", "%m/%d/%Y"]),
        (["5/5/2021", "6/6/2021", "7/7/2021"], ["%-d/%-m/%Y"]),  # the same either way
        (["4 May 2021", "5 June 2020", "6 May 2019"], ["%-d %B %Y"]),
        (["Jan 4, 2021", "Feb 5, 2020", "Mar 1, 2011"], ["%b %-d, %Y"]),
        (["12:30", "9:05", "23:59"], ["%-H:%M"]),
        (["10:30 PM", "1:05 AM", "12:00 AM"], ["%-I:%M %p"]),
        (["2021-03-04 10:00:00.5", "2021-03-04 10:00:01.25", "2021-03-04 11:00:01.1"], ["%Y-%m-%d %H:%M:%S.%f"]),
        (["2021-03", "2020-01", "2019-12"], ["%Y-%m"]),
        (["2021-03-04", "-", "2020-01-05", "k.A.", "2019-12-31"], ["%Y-%m-%d"]),
        (["2021-03-04", "2020-01-05"], []),  # two values are a binary column
        (["2021-03-04", "2020-13-05", "2019-12-31"], []),
        (["1.2.3", "4.5.6", "7.8.9"], []),
        (["48:30", "12:00", "13:00"], []),  # a duration
        (["a 1", "b 2", "c 3"], []),
    ],
)
def test_formats_are_told_from_all_cells(cells, directives):
    assert [form.directives for form in formats_of(pd.Series(cells))] == directives


def test_other_columns_tell_day_from_month_and_else_a_person_must():
    frame = pd.DataFrame({"open": ["03/04/2021", "05/06/2021", "01/02/2020"], "x": [1.0, 2.0, 3.0]})
    with pytest.raises(ConfigError, match=r"'open' .*data\.kinds\.open='\{kind: date, format: \"%m/%d/%Y\"\}'"):
        with_dates(frame, None, keep=())
    sure = frame.assign(shut=["14/05/2021", "05/07/2021", "01/03/2020"])
    dates, kinds = with_dates(sure, None, keep=())
    assert kinds["open"] == {"kind": "date", "format": "%d/%m/%Y"}
    iso = DateFormat("%Y-%m-%d")
    assert [iso.write(day) for day in dates["open"]] == ["2021-04-03", "2021-06-05", "2020-02-01"]
    given, kinds = with_dates(frame, {"open": {"kind": "date", "format": "%m/%d/%Y"}}, keep=())
    assert iso.write(given["open"].iloc[0]) == "2021-03-04"
    assert with_dates(frame, {"open": "categorical"}, keep=())[0]["open"].tolist() == frame["open"].tolist()
    assert with_dates(frame, None, keep=("open",))[0] is frame


@pytest.mark.parametrize(
    ("cells", "kind", "words"),
    [
        (["a", "b", "c"], "date", "holds 'a'"),
        (["2021-01-02", "2021-02-03", "x"], {"kind": "date", "format": "%Y-%m-%d"}, "does not fit 'x'"),
        ([1.5, 2.5, 3.5], "date", "holds"),
    ],
)
def test_a_column_that_should_be_dates_and_is_not(cells, kind, words):
    with pytest.raises(ConfigError, match=re.escape(words)):
        build_table("t", pd.DataFrame({"d": cells, "y": [0, 1, 1]}), "t", target="y", kinds={"d": kind})


def test_numbers_such_as_20210304_are_dates_where_a_person_says_so():
    frame = pd.DataFrame({"d": [20210304, 20210305, 20220101, 20220102], "y": [0, 1, 1, 1]})
    assert build_table("t", frame, "t", target="y").schema["d"].kind == "integer"
    table = build_table("t", frame, "t", target="y", kinds={"d": "date"})
    assert table.schema.written(table.frame)["d"].tolist() == ["20210304", "20210305", "20220101", "20220102"]


VISITS = "besuch;zeit;wert;befund\r\n"
VISITS += "".join(
    f"{1 + i % 28:02d}.{1 + i % 12:02d}.{2020 + i % 3};{7 + i % 12}:{i:02d};{i},5;{'nein' if i % 4 else 'ja'}\r\n"
    for i in range(60)
).replace("01.01.2020;7:00", "-;7:00")


@pytest.fixture
def visits(tmp_path):
    path = tmp_path / "visits.csv"
    path.write_text(VISITS, newline="")
    return path


@pytest.fixture
def train(visits):
    table = load_csv(str(visits), target="befund")
    groups = tuple(Group("befund", label, label == "ja") for label in table.schema.labels)
    return Train(table.frame, table.schema, groups, 0)


def test_new_rows_have_dates_of_the_table_in_its_own_format(visits, train, tmp_path):
    table = load_csv(str(visits), target="befund")
    assert [c.kind for c in table.schema.columns] == ["date", "date", "real", "binary"]
    assert table.schema["besuch"].missing
    rows = Smote().sample(train, 40).frame
    own = train.frame["besuch"]
    assert rows["besuch"].dropna().between(own.min(), own.max()).all() and (rows["besuch"].dropna() % 1 == 0).all()
    write_table(out := tmp_path / "o.csv", table, rows)
    text = out.read_text()
    assert text.startswith(VISITS.replace("\r\n", "\n"))
    new = text.splitlines()[61:]
    assert len(new) == 40
    assert all(re.fullmatch(r"(\d\d\.\d\d\.20\d\d|-);\d?\d:\d\d;[\d,]+;ja", line) for line in new)
    write_table(out := tmp_path / "o.parquet", table, rows)
    assert pd.read_parquet(out)["besuch"].dropna().str.fullmatch(r"\d\d\.\d\d\.20\d\d|-").all()


def test_parquet_and_excel_keep_dates_as_dates(tmp_path, train):
    days = pd.date_range("2021-01-01", periods=60).as_unit("ms")
    frame = pd.DataFrame({"day": days, "x": np.arange(60) % 7, "y": ["a"] * 15 + ["b"] * 45})
    for suffix, save in ((".parquet", frame.to_parquet), (".xlsx", frame.to_excel)):
        save(source := tmp_path / f"in{suffix}", index=False)
        table = load_csv(str(source), target="y")
        assert table.schema["day"].kind == "date"
        groups = tuple(Group("y", label, label == "a") for label in table.schema.labels)
        rows = Smote().sample(Train(table.frame, table.schema, groups, 0), 30).frame
        write_table(out := tmp_path / f"out{suffix}", table, rows)
        written = pd.read_parquet(out) if suffix == ".parquet" else pd.read_excel(out)
        assert pd.api.types.is_datetime64_any_dtype(written["day"]) and len(written) == 90
        assert written["day"].iloc[60:].between(days[0], days[14]).all()
        assert (written["day"].iloc[60:].dt.normalize() == written["day"].iloc[60:]).all()


@pytest.mark.parametrize("style", ["csv", "text", "json"])
@pytest.mark.parametrize("directives", [*DIRECTIVES, "%H:%M"])
def test_a_model_reads_and_writes_dates(directives, style):
    form = DateFormat(directives)
    unit = 3600 if form.timed else 1
    numbers = (
        [(18_000 * 24 * form.dated + 5 * i) * unit for i in range(4)]
        if form.timed
        else [18_000 + 5 * i for i in range(4)]
    )
    frame = pd.DataFrame({"when": [form.write(n) for n in numbers], "x": [1.5, 2.5, 3.5, 4.5], "y": list("abab")})
    table = build_table("t", frame, "t", target="y", kinds={"when": {"kind": "date", "format": directives}})
    assert table.frame["when"].tolist() == numbers
    columns = limits(table.schema, Group("y", "a", True), 0.5)
    shown = lines(table.frame[table.frame["y"] == "a"], columns, style)
    rule = constraint(columns, style, 2)
    answer = f'{{"rows": [{shown[0]}, {shown[1]}]}}' if style == "json" else "\n".join(shown) + "\n"
    assert re.fullmatch(rule.regex, answer)
    assert [found.values["when"] for found in Parser(columns, style).parse(answer)] == numbers[::2]
    wrong = answer.replace(form.write(numbers[0]), "30 Febtober", 1)
    assert Parser(columns, style).parse(wrong)[0].reason in ("not_a_date", "wrong_columns")


def test_a_date_in_iso_form_and_one_out_of_range():
    frame = pd.DataFrame({"when": ["31.01.2021", "28.02.2021", "15.03.2021"], "y": list("aba")})
    schema = build_table("t", frame, "t", target="y").schema
    parser = Parser(limits(schema, Group("y", "a", True), 0.5), "csv")
    assert parser.parse("2021-02-05,a")[0].values["when"] == DateFormat("%d.%m.%Y").number("05.02.2021")
    assert parser.parse("05.02.2031,a")[0].reason == "out_of_range"
    assert parser.parse("31.02.2021,a")[0].reason == "not_a_date"


def test_disguised_dates_are_numbers_and_come_back(train):
    disguise = Disguise(train.schema, 7)
    shown = disguise.rows(train.frame, train.schema)
    assert disguise.column(train.schema["besuch"]).kind == "integer"
    assert shown.dropna().iloc[:, 0].between(-1000, 10_000).all()
    row = dict(zip(shown.columns, shown.iloc[3], strict=True))
    assert disguise.undo(row, train.schema)["besuch"] == train.frame["besuch"].iloc[3]


@pytest.mark.parametrize("encoding", ["onehot", "native"])
def test_classifiers_see_year_month_weekday_and_hour(train, encoding):
    frame = train.frame.drop(columns="befund")
    made = transformer(train.schema, encoding, scale=False).fit_transform(frame)
    assert np.asarray(made).shape[1] == 3 + 3 + 1 + 4 * (encoding == "onehot")  # one-hot: flags for gaps
    moment = pd.Timestamp("1970-01-01") + pd.Timedelta(days=frame["besuch"].iloc[5])
    assert {float(moment.month), float(moment.weekday()), float(moment.year)} <= set(np.asarray(made)[5])


def test_rows_of_files_have_the_tables_dates(train, tmp_path):
    path = tmp_path / "rows.csv"
    train.schema.written(train.frame.head(6)).to_csv(path, index=False)
    pd.testing.assert_frame_equal(read_rows(path, train.schema, "method.path"), train.frame.head(6), check_dtype=False)
    path.write_text(path.read_text().replace("02.02.2021", "Tuesday"))
    with pytest.raises(DataError, match="'Tuesday', which is not a date as in the table"):
        read_rows(path, train.schema, "method.path")


@pytest.mark.parametrize(
    "days",
    [
        pd.date_range("2021-01-01 05:00", periods=40, freq="13h", tz="Europe/Berlin"),
        pd.date_range("2021-01-01", periods=40).date,
        pd.date_range("2021-01-01", periods=40, freq="h").to_pydatetime(),
        pd.period_range("2019-01", periods=40, freq="M"),
        pd.date_range("2021-01-01", periods=40).strftime("%d/%m/%Y").astype("category"),
    ],
    ids=["zone", "date", "datetime", "period", "category"],
)
def test_a_sampler_gives_dates_back_as_it_got_them(days):
    frame = pd.DataFrame({"when": days, "x": np.arange(40.0)})
    y = np.array([1] * 10 + [0] * 30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made, labels = OpalSampler("smote").fit_resample(frame, y)
    assert made["when"].iloc[:40].tolist() == frame["when"].tolist()
    assert type(made["when"].iloc[45]) is type(frame["when"].iloc[0]) and (labels[40:] == 1).all()
    if not isinstance(frame["when"].iloc[0], str):
        assert made["when"].iloc[40:].between(frame["when"].iloc[0], frame["when"].iloc[9]).all()
        assert made["when"].dtype == frame["when"].dtype


def times(columns, **kinds):
    """data.time=t of a table with these columns."""
    given = pd.DataFrame(columns)
    return times_of(given, with_dates(given, kinds, keep=())[0], "t")


def test_times_are_numbers_or_dates_without_gaps():
    assert times({"t": ["02.01.2021", "01.02.2021", "05.05.2020"]}).rank().tolist() == [
        2,
        3,
        1,
    ]
    assert times({"t": [3, 1, 2]}).tolist() == [3, 1, 2]
    with pytest.raises(ConfigError, match="must hold dates or numbers"):
        times({"t": ["a", "b", "c"]})
    with pytest.raises(ConfigError, match="1 missing"):
        times({"t": [1.0, None, 2.0]})


def test_python_dates_with_gaps(tmp_path):
    days = [date(2021, 1, 1 + i) if i % 5 else None for i in range(28)]
    made, _ = OpalSampler("smote").fit_resample(pd.DataFrame({"d": days, "x": np.arange(28.0)}), [1] * 8 + [0] * 20)
    assert all(value is None or isinstance(value, date) for value in made["d"].iloc[28:])


def test_other_columns_tell_day_from_month_in_the_column_of_time():
    frame = pd.DataFrame(
        {
            "open": [f"{1 + i % 12:02}/{1 + i % 11:02}/2020" for i in range(30)],
            "shut": [f"{day:02}/03/2021" for day in range(1, 31)],
            "y": ["p", "q"] * 15,
        }
    )
    for drop in ((), ["open"]):
        table = build_table("t", frame, "t", target="y", time="open", drop=drop)
        assert pd.to_datetime(table.time, unit="D").iloc[2] == pd.Timestamp("2020-03-03")
        assert pd.to_datetime(table.time, unit="D").iloc[11] == pd.Timestamp("2020-01-12")
