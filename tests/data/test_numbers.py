"""Numbers as people write them, read and written back."""

import logging

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opal.data.append_csv import CsvFile
from opal.data.build import build_table
from opal.data.numbers import Form, forms_of
from opal.data.parse import parse_file
from opal.data.row_files import read_rows

GERMAN = (
    "\ufeffBMI;Stammbaum;Gehalt;Anteil;Befund\r\n"
    "30,2;0,364;1.234;12,5 %;ja\r\n68,0;1,200;2.500;3,0 %;nein\r\n"
    "25,1;0,150;1.900;4,5 %;nein\r\nk.A.;0,100;3.750;5,5 %;nein\r\n"
)


@pytest.fixture
def german(tmp_path):
    path = tmp_path / "g.csv"
    path.write_bytes(GERMAN.encode())
    return path


def test_german_export_is_read_as_numbers_and_says_so(german, caplog):
    with caplog.at_level(logging.INFO, "opal"):
        frame = parse_file(german)
    assert frame["BMI"].tolist()[:3] == [30.2, 68.0, 25.1]
    assert frame["BMI"].isna().tolist() == [
        False,
        False,
        False,
        True,
    ]
    assert frame["Stammbaum"].tolist() == [0.364, 1.2, 0.15, 0.1]
    assert frame["Gehalt"].tolist() == [1234, 2500, 1900, 3750]
    assert frame["Anteil"].tolist() == [12.5, 3.0, 4.5, 5.5]
    assert "decimal comma in BMI" in caplog.text


def test_new_rows_are_written_as_the_file_writes_them(german):
    table = build_table("g", parse_file(german), "g", target="Befund")
    rows = table.frame.iloc[:2].assign(BMI=[31.4, float("nan")], Gehalt=[-4321, 12])
    content, guarded = CsvFile(german.read_bytes()).extended(rows, table.frame, table.schema)
    assert content.startswith(german.read_bytes()) and guarded == 0
    assert content.decode().splitlines()[-2:] == ["31,4;0,364;-4.321;12,5 %;ja", "k.A.;1,200;12;3,0 %;nein"]


@pytest.mark.parametrize(
    ("cells", "separator", "form"),
    [
        (["1,234", "5,678"], ",", Form(".", ",")),
        (["1,234", "5,678"], ";", Form(",")),
        (["1,234.50", "7.25"], ",", Form(".", ",")),
        (["1\u202f234,5", "7,25"], ";", Form(",", "\u202f")),
        (["1'234.5", "12"], ";", Form(".", "'")),
        (["(1,234)", "50"], ",", Form(".", ",", brackets=True)),
        (["€ 12", "€ 7"], ",", Form(prefix="€ ")),
    ],
)
def test_form_of_a_column(cells, separator, form):
    assert forms_of(pd.DataFrame({"a": cells}), separator) == {"a": form}


@pytest.mark.parametrize("cells", [["1.5", "2"], ["a1", "b2"], ["01.02.2020", "12.03.2021"], ["0171", "0234"]])
def test_other_cells_are_left_alone(cells):
    assert forms_of(pd.DataFrame({"a": cells}), ";") == {}


@given(
    st.decimals(-(10**9), 10**9, places=2, allow_nan=False),
    st.sampled_from([(".", ","), (",", "."), (",", ""), (".", "'"), (",", "\u202f")]),
    st.sampled_from([("", ""), ("", " %"), ("€ ", "")]),
    st.booleans(),
)
def test_what_is_written_is_read_again(number, marks, signs, brackets):
    form = Form(*marks, *signs, brackets)
    assert form.parse(form.write(f"{number:.2f}")) == pytest.approx(float(number))


def test_rows_of_another_file_may_have_the_tables_own_form(german, tmp_path):
    """method=replay and task.split=files read what `opal augment` or a spreadsheet wrote."""
    table = build_table("g", parse_file(german), "g", target="Befund")
    path = tmp_path / "rows.csv"
    path.write_text("BMI;Stammbaum;Gehalt;Anteil;Befund\n31,5;0,4;1.900;2,5 %;ja\nk.A.;1,2;2.500;3,0 %;nein\n")
    rows = read_rows(path, table.schema, "method.path")
    assert rows["BMI"].tolist()[0] == 31.5 and rows["BMI"].isna().tolist() == [False, True]
    assert rows["Gehalt"].tolist() == [1900, 2500] and rows["Anteil"].tolist() == [2.5, 3.0]
