"""Excel, Feather, tab-separated and packed files, and the texts that mean "no value"."""

from __future__ import annotations

import gzip
import io
import zipfile

import numpy as np
import pandas as pd
import pytest

from opal.data.file import load
from opal.data.parse import missing_names, parse_file
from opal.data.write import write_table, writers
from opal.errors import ConfigError, DataError

FRAME = pd.DataFrame(
    {
        "age": [31, 45, 28, 52, 39, 61, 33, 47],
        "bmi": [30.2, 24.9, np.nan, 27.1, 22.4, 31.0, 26.3, 25.5],
        "town": ["Graz", "Linz", "Graz", "Wien", "Linz", "Wien", "Graz", "Linz"],
        "label": ["yes", "no", "no", "no", "yes", "no", "no", "no"],
    }
)


def excel(path, **sheets):
    with pd.ExcelWriter(path, engine="openpyxl") as writer:
        for name, frame in sheets.items():
            frame.to_excel(writer, index=False, sheet_name=name)
    return path


def same(frame: pd.DataFrame) -> bool:
    pd.testing.assert_frame_equal(frame, FRAME, check_dtype=False)
    return True


def test_a_workbook_of_one_sheet(tmp_path):
    assert same(parse_file(excel(tmp_path / "t.xlsx", Data=FRAME)))


def test_the_sheet_is_named_where_there_are_several(tmp_path):
    path = excel(tmp_path / "t.xlsx", Data=FRAME, Notes=FRAME.head(2))
    assert same(parse_file(path, sheet="Data"))
    with pytest.raises(ConfigError, match=r"data\.sheet=Data \(Data, Notes\)"):
        parse_file(path)
    with pytest.raises(ConfigError, match=r"data\.sheet=Dat is not a sheet"):
        parse_file(path, sheet="Dat")


def test_numbers_kept_as_text_in_a_workbook_are_numbers(tmp_path):
    texts = FRAME.assign(bmi=["30,2", "24,9", "k.A.", "27,1", "22,4", "31,0", "26,3", "25,5"])
    assert same(parse_file(excel(tmp_path / "t.xlsx", Data=texts)))


def test_a_sheet_of_a_text_file_is_refused(tmp_path):
    FRAME.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ConfigError, match="no Excel file"):
        parse_file(tmp_path / "t.csv", sheet="Data")


@pytest.mark.parametrize("name", ["t.tsv", "t.csv.gz", "t.zip", "t.feather", "t.parquet"])
def test_other_formats(name, tmp_path):
    path, text = tmp_path / name, FRAME.to_csv(index=False)
    if name == "t.tsv":
        FRAME.to_csv(path, index=False, sep="\t")
    elif name == "t.csv.gz":
        path.write_bytes(gzip.compress(text.encode()))
    elif name == "t.zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("folder/t.csv", text)
    elif name == "t.feather":
        FRAME.to_feather(path)
    else:
        FRAME.to_parquet(path)
    assert same(parse_file(path))
    assert bool(writers(load(str(path), target="label"))) == (name == "t.tsv")  # its numbers are those of the file


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_texts_of_ones_own_for_no_value(suffix, tmp_path):
    given = FRAME.assign(bmi=FRAME["bmi"].astype(object).fillna("unknown"), age=FRAME["age"].replace(45, -99))
    path = tmp_path / f"t{suffix}"
    excel(path, Data=given) if suffix == ".xlsx" else given.to_csv(path, index=False)
    frame = parse_file(path, missing=["unknown", "-99"])
    assert frame["bmi"].isna().sum() == 1 and frame["bmi"].dtype == float
    assert frame["age"].isna().tolist() == [False, True] + [False] * 6


@pytest.mark.parametrize("output", ["out.xlsx", "out.csv", "out.parquet"])
def test_new_rows_of_a_workbook(output, tmp_path):
    table = load(str(excel(tmp_path / "t.xlsx", Data=FRAME)), target="label")
    rows = table.frame.iloc[:2].assign(town="=Graz()")
    write_table(tmp_path / output, table, rows.assign(town="Graz"), ("origin", ["=a()", "b"]))
    back = parse_file(tmp_path / output)
    assert len(back) == 10 and back["town"].tolist()[-2:] == ["Graz", "Graz"]
    assert same(back.iloc[:8][list(FRAME.columns)])
    if output == "out.xlsx":
        import openpyxl

        sheet = openpyxl.load_workbook(tmp_path / output).active
        assert {c.data_type for row in sheet.iter_rows() for c in row} <= {"s", "n", "inlineStr"}, "no formula"


def damaged_workbook() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("[Content_Types].xml", "<x/>")
        archive.writestr("xl/workbook.xml", "<not a workbook")
    return content.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.xlsx", damaged_workbook(), "cannot be read as an Excel file"),
        ("t.feather", b"ARROW1\0\0nothing", "cannot be read as Feather"),
        ("t.gz", gzip.compress(b"a,b\n1,2\n")[:-6], "damaged gzip"),
        ("t.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + b"\xff" * 20, "damaged gzip"),
    ],
    ids=lambda value: value if isinstance(value, str) else "content",  # packed bytes hold the time
)
def test_damaged_files_are_named(name, content, said, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        parse_file(tmp_path / name)


def test_a_small_file_that_unpacks_to_gigabytes(tmp_path, monkeypatch):
    monkeypatch.setattr("opal.data.content.MOST_UNPACKED", 10_000)
    (tmp_path / "t.gz").write_bytes(gzip.compress(b"1,2\n" * 10_000))
    with zipfile.ZipFile(tmp_path / "t.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("t.csv", "1,2\n" * 10_000)
    for name in ("t.gz", "t.zip"):
        with pytest.raises(DataError, match="unpacks to more than"):
            parse_file(tmp_path / name)


ADULT = """age, workclass, sex, income
39, State-gov, Male, <=50K
50, ?, Male, >50K
38, Private, Female, <=50K
53, Private, Male, <=50K
28, -, Female, >50K
"""


def test_blanks_around_names_and_cells_do_not_count(tmp_path):
    path = tmp_path / "adult.csv"
    path.write_text(ADULT)
    table = load(str(path), target="income")
    assert table.schema.names == ["age", "workclass", "sex", "income"]
    assert table.schema["workclass"].levels == ("Private", "State-gov") and table.schema["workclass"].missing
    assert table.schema.labels == ("<=50K", ">50K")
    rows = table.frame.iloc[[1, 2]].assign(age=[41, 42])
    write_table(out := tmp_path / "out.csv", table, rows)
    assert out.read_text() == ADULT + "41, ?, Male, >50K\n42, Private, Female, <=50K\n"


@pytest.mark.parametrize(
    ("cells", "gone"),
    [
        ({"a", "b", "?"}, {"?"}),
        ({"a", "b", "-"}, {"-"}),
        ({"+", "-", "unclear"}, set()),
        ({"-", "x"}, set()),
        ({"K.A.", "ja", "nein"}, {"K.A."}),
    ],
)
def test_markers_of_missing_names(cells, gone):
    assert missing_names(cells) == gone
