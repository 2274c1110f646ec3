"""data=csv: any file of the user's own, and one clear sentence for each way it can be wrong."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tables import mixed_frame

from opal.data.content import columns_of
from opal.data.file import load
from opal.data.parse import parse_file
from opal.errors import ConfigError, DataError

FRAME = mixed_frame(60, seed=1)


def put(tmp_path, content: str | bytes, name: str = "my.csv") -> str:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def test_csv_and_parquet_give_the_same_table(tmp_path):
    FRAME.to_parquet(tmp_path / "a.parquet")
    csv = put(tmp_path, FRAME.to_csv(index=False))
    tables = [load(path=p, target="outcome") for p in (csv, str(tmp_path / "a.parquet"))]
    assert tables[0].digest == tables[1].digest
    assert tables[0].schema == tables[1].schema
    assert [t.name for t in tables] == ["my", "a"]
    assert tables[0].minority == "yes"


def test_mixed_table_keeps_text_and_missing_values(tmp_path):
    table = load(path=put(tmp_path, FRAME.to_csv(index=False)), target="outcome", group="smoker")
    kinds = {c.name: (c.kind, c.decimals, c.missing) for c in table.schema.columns}
    assert kinds == {
        "smoker": ("binary", 0, False),
        "job": ("categorical", 0, True),
        "visits": ("integer", 0, False),
        "age": ("integer", 0, True),
        "income": ("real", 2, True),
        "member": ("binary", 0, False),
        "outcome": ("binary", 0, False),
    }
    assert list(table.frame.columns) == list(FRAME.columns)
    assert table.frame.isna().sum().to_dict() == FRAME.isna().sum().to_dict()


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separator_is_found_in_the_header(tmp_path, separator):
    path = put(tmp_path, FRAME.to_csv(index=False, sep=separator))
    assert load(path=path, target="outcome").frame.shape == FRAME.shape


def test_packed_files(tmp_path):
    content = FRAME.to_csv(index=False).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("inside.csv", content)
    digests = {
        load(path=put(tmp_path, c, n), target="outcome").digest
        for n, c in {"a.csv": content, "a.csv.gz": gzip.compress(content, mtime=0), "a.zip": buffer.getvalue()}.items()
    }
    assert len(digests) == 1


def test_byte_order_marks_and_named_encoding(tmp_path):
    text = "größe,label\n1,ä\n2,b\n3,b\n"
    for encoding, named in (("utf-8-sig", None), ("utf-16", None), ("latin-1", "latin-1")):
        table = load(path=put(tmp_path, text.encode(encoding)), target="label", encoding=named)
        assert table.minority == "ä" and list(table.frame.columns) == ["größe", "label"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("x,y\n1,a\n", True),
        ('\n x ;"y, or z"\n1;a\n', True),
        ("x, x\n1,a\n", True),  # without the space there would be two of one name
        ("größe,label\n1,ä\n".encode("utf-16"), True),
        (gzip.compress(b"x,y\n1,a\n", mtime=0), True),
        ("x,,y\n1,2,a\n", False),  # pandas names the second column
        ('"x\nz",y\n1,a\n', False),  # the header goes on in the second line
        ("@relation r\n@attribute x numeric\n@data\n1\n", False),
    ],
)
def test_the_columns_of_a_header_are_those_of_the_table(tmp_path, content, told):
    path = Path(put(tmp_path, content))
    assert columns_of(path) == (list(parse_file(path).columns) if told else None)


def test_relative_and_home_paths(tmp_path, monkeypatch):
    put(tmp_path, "x,y\n1,a\n2,b\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load(path="my.csv", target="y").digest == load(path="~/my.csv", target="y").digest


@pytest.mark.parametrize(
    ("content", "keys", "kind", "words"),
    [
        ("x,y\n1,a\n2,b\n", {"target": "z"}, ConfigError, ["data.target='z'", "x, y"]),
        ("x,Outcome\n1,a\n2,b\n", {"target": "outcom"}, ConfigError, ["did you mean 'Outcome'"]),
        ("x,y\n1,a\n2,b\n", {}, ConfigError, ["data.target is not set", "x, y"]),
        ("x,y\n1,a\n2,\n3,b\n", {"target": "y"}, DataError, ["'y'", "1 missing"]),
        ("x,y\n1,\n2,\n", {"target": "y"}, DataError, ["'y'", "2 missing"]),
        ("x,y\n1,a\n2,a\n", {"target": "y"}, DataError, ["single class", "'a'"]),
        ("x,y\n", {"target": "y"}, DataError, ["no rows"]),
        ("", {"target": "y"}, DataError, ["is empty"]),
        ("\n\n", {"target": "y"}, DataError, ["is empty"]),
        ("x,y\n1,a\n2,b\n", {"target": "y", "minority": "c"}, ConfigError, ["data.minority='c'", "'a', 'b'"]),
        ("x,x,y\n1,2,a\n2,3,b\n", {"target": "y"}, DataError, ["two columns named 'x'"]),
        ("x,y\n1,a\n2,b\n", {"target": "y", "drop": ["w"]}, ConfigError, ["data.drop='w'"]),
        ("x,y\n1,a\n2,b\n", {"target": "y", "drop": ["y"]}, ConfigError, ["data.drop names 'y'"]),
        ("x,y\n1,a\n2,b\n", {"target": "y", "drop": ["x"]}, DataError, ["nothing to learn from"]),
        ("x,y\n1,a\n2,b\n", {"target": "y", "group": "sex"}, ConfigError, ["data.group='sex'"]),
        ("x,y\n1,a\n2,b\n", {"target": "y", "kinds": {"w": "real"}}, ConfigError, ["data.kinds", "'w'"]),
        ("x,y\n1,a\n2,b\n", {"target": "y", "kinds": {"x": "float"}}, ConfigError, ["'float'", "integer, real"]),
        ("x,y\n1,a\nn,b\nm,b\n", {"target": "y", "kinds": {"x": "real"}}, ConfigError, ["holds text"]),
        ("x,y\n1,a\n2,b,3\n", {"target": "y"}, DataError, ["CSV", "line 3"]),
        ("x,y\n1,a\ninf,b\n", {"target": "y"}, DataError, ["'x'", "infinite"]),
        ("<html>\nx,y</html>", {"target": "y"}, DataError, ["web page"]),
        ("x,y\n1,\xe9\n2,b\n".encode("latin-1"), {"target": "y"}, DataError, ["not utf-8", "data.encoding"]),
        ("x,y\n1,a\n2,b\n", {"target": "y", "encoding": "utf-9"}, ConfigError, ["data.encoding='utf-9'"]),
        ("y,x\n" + "".join(f"{i}.5,1\n" for i in range(50)), {"target": "y"}, DataError, ["50 different values"]),
        (b"PK\x03\x04 no zip", {"target": "y"}, DataError, ["cannot be unpacked"]),
        (b"PAR1 no parquet", {"target": "y"}, DataError, ["Parquet"]),
        (b"\x1f\x8b no gzip", {"target": "y"}, DataError, ["gzip"]),
    ],
)
def test_one_sentence_says_what_is_wrong(tmp_path, content, keys, kind, words):
    path = put(tmp_path, content)
    with pytest.raises(kind) as caught:
        load(path=path, **keys)
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text, text


def test_missing_file_names_the_whole_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=str(tmp_path / "no.csv")):
        load(path="no.csv", target="y")
    with pytest.raises(DataError, match="folder"):
        load(path=str(tmp_path), target="y")
    with pytest.raises(ConfigError, match=r"data\.path is not set"):
        load(path=None, target="y")


@pytest.mark.parametrize(
    ("labels", "given", "expected"),
    [
        ([0, 0, 1], 1, 1),
        ([0, 0, 1], "1", 1),
        ([0, 0, 1], True, 1),
        ([0.0, 0.0, 1.0], "1", 1),
        (["0", "x", "x"], 0, "0"),
        (["a", "b", "b"], None, "a"),
        (["b", "a"], None, "a"),
        ([True, False, False], "1", 1),
        ([1.5, 2.5, 2.5], "1.50", 1.5),
        ([2, 2, 7, 9, 9], None, 7),
    ],
)
def test_minority_by_value_as_written_or_the_rarest(tmp_path, labels, given, expected):
    frame = pd.DataFrame({"x": np.arange(len(labels)) * 1.0, "y": labels})
    table = load(path=put(tmp_path, frame.to_csv(index=False)), target="y", minority=given)
    assert table.minority == expected and type(table.minority) is type(expected)


def test_drop_takes_descriptions_and_kinds_with_it(tmp_path):
    path = put(tmp_path, "id,x,y\n7,1,a\n8,2,b\n9,3,b\n")
    table = load(path=path, target="y", drop=["id"], descriptions={"id": "key", "x": "cm"}, kinds={"id": "real"})
    assert table.schema.names == ["x", "y"] and table.schema["x"].description == "cm"
