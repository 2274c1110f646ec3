"""Pinned tables: local folder first, else download, verify, keep; a stand-in server plays the public source."""

from __future__ import annotations

import io
import socket
import zipfile

import pandas as pd
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from opal.data.craft import craft_frame
from opal.data.pinned import load
from opal.errors import DataError
from opal.table import frame_digest

FRAME = craft_frame(40, 3)
CSV = FRAME.to_csv(index=False).encode()
SPEC = {
    "name": "toy",
    "page": "https://example.org/toy",
    "columns": FRAME.dtypes.astype(str).to_dict(),
    "digest": frame_digest(FRAME),
    "target": "Target",
    "minority": 0,
}


def zipped(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def closed_address() -> str:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{s.getsockname()[1]}/toy.csv"


def test_local_folder_comes_before_any_download(tmp_path, source):
    (tmp_path / "toy.csv").write_bytes(CSV)
    table = load(urls=[source.url("/toy.csv")], data_dir=str(tmp_path), cache_dir=str(tmp_path / "c"), **SPEC)
    assert table.frame.equals(FRAME)
    assert table.source == str(tmp_path / "toy.csv")
    assert not source.asked


def test_download_is_kept_and_not_repeated(tmp_path, source):
    url = source.put("/toy.csv", CSV)
    first = load(urls=[url], cache_dir=str(tmp_path), **SPEC)
    again = load(urls=[url], cache_dir=str(tmp_path), **SPEC)
    assert first.digest == again.digest == SPEC["digest"]
    assert source.asked == ["/toy.csv"]
    assert [f.name for f in tmp_path.iterdir()] == ["toy.download"]


def test_folder_without_the_file_falls_back_to_download(tmp_path, source):
    url = source.put("/toy.csv", CSV)
    assert load(urls=[url], data_dir=str(tmp_path / "none"), cache_dir=str(tmp_path), **SPEC).frame.equals(FRAME)


def test_wrong_values_name_both_digests_and_are_not_kept(tmp_path, source):
    wrong = FRAME.iloc[::-1]
    url = source.put("/toy.csv", wrong.to_csv(index=False).encode())
    with pytest.raises(DataError) as caught:
        load(urls=[url], cache_dir=str(tmp_path), **SPEC)
    assert SPEC["digest"] in str(caught.value) and frame_digest(wrong) in str(caught.value)
    assert url in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_wrong_values_in_the_local_folder(tmp_path):
    wrong = FRAME.iloc[::-1]
    (tmp_path / "toy.csv").write_text(wrong.to_csv(index=False))
    with pytest.raises(DataError) as caught:
        load(urls=[], data_dir=str(tmp_path), **SPEC)
    assert SPEC["digest"] in str(caught.value) and frame_digest(wrong) in str(caught.value)
    assert str(tmp_path / "toy.csv") in str(caught.value)


def test_second_address_when_the_first_fails(tmp_path, source):
    login = source.put("/login", b"<!doctype html><html>please log in</html>")
    urls = [closed_address(), source.url("/missing"), login, source.put("/toy.csv", CSV)]
    assert load(urls=urls, cache_dir=str(tmp_path), **SPEC).frame.equals(FRAME)


def test_offline_says_where_to_get_it_and_where_to_put_it(tmp_path):
    with pytest.raises(DataError) as caught:
        load(urls=[closed_address()], data_dir=str(tmp_path / "d"), cache_dir=str(tmp_path / "c"), **SPEC)
    text = str(caught.value)
    assert "https://example.org/toy" in text and str(tmp_path / "d" / "toy.csv") in text and "\n" not in text
    with pytest.raises(DataError, match="OPAL_DATA_DIR"):
        load(urls=[closed_address()], cache_dir=str(tmp_path / "c"), **SPEC)


def test_another_table_under_the_name(tmp_path):
    (tmp_path / "toy.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="has no column 'X1'"):
        load(urls=[], data_dir=str(tmp_path), **SPEC)


# The published tables in the format that their sources serve, made here from the reference copies.


def diabetes_arff(frame: pd.DataFrame) -> bytes:
    lines = ["% Pima", "@relation pima_diabetes"]
    lines += [f"@attribute '{c}' real" for c in frame.columns[:-1]]
    lines += ["@attribute 'class' { tested_negative, tested_positive}", "@data"]
    names = {0: "tested_negative", 1: "tested_positive"}
    for *numbers, label in frame.itertuples(index=False):
        lines.append(",".join([f"{v:g}" for v in numbers] + [names[label]]))
    return "\n".join(lines).encode()


def gender_zip(frame: pd.DataFrame) -> bytes:
    original = frame.assign(gender=frame.gender.map({0: "Male", 1: "Female"}))
    return zipped("gender_classification_v7.csv", original.to_csv(index=False, lineterminator="\r\n").encode())


def heart_zip(frame: pd.DataFrame) -> bytes:
    whole = frame.assign(platelets=frame.platelets.map(repr), age=frame.age.map(lambda v: f"{v:g}"))
    content = whole.to_csv(index=False).encode()
    return zipped("heart_failure_clinical_records_dataset.csv", content)


def heart_lower_case(frame: pd.DataFrame) -> bytes:
    return frame.rename(columns=str.lower).to_csv(index=False).encode()


@pytest.mark.parametrize(
    ("name", "served"),
    [
        ("diabetes", diabetes_arff),
        ("gender", gender_zip),
        ("heart_failure", heart_zip),
        ("heart_failure", heart_lower_case),
    ],
)
def test_source_format_gives_the_published_values(name, served, root, shared, source, tmp_path):
    reference = pd.read_csv(shared / "data" / f"{name}.csv")
    url = source.put("/file", served(reference))
    config = OmegaConf.create({"data_dir": None, "data": OmegaConf.load(root / "conf" / "data" / f"{name}.yaml")})
    table = instantiate(config.data, urls=[url], cache_dir=str(tmp_path))
    assert source.asked == ["/file"]
    pd.testing.assert_frame_equal(table.frame, reference, check_exact=True)
