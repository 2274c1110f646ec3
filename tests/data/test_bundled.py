"""Tables of scikit-learn and OpenML; OpenML's answers are played by a stand-in, as no test may call it."""

from __future__ import annotations

import hashlib
import io
import json
from urllib.error import HTTPError, URLError

import pytest

from opal.data import openml, sklearn
from opal.errors import ConfigError, DataError


@pytest.mark.parametrize(
    ("name", "shape", "minority"),
    [
        ("breast_cancer", (569, 31), "malignant"),
        ("digits", (1797, 65), 8),
        ("iris", (150, 5), "setosa"),
        ("wine", (178, 14), "class_2"),
    ],
)
def test_scikit_learn_tables(name, shape, minority):
    table = sklearn.load(name=name, target="target")
    assert table.frame.shape == shape and table.minority == minority


def test_unknown_scikit_learn_table():
    with pytest.raises(ConfigError, match=r"data\.name='boston'.*wine"):
        sklearn.load(name="boston", target="target")


ARFF = b"""@relation toy
@attribute age numeric
@attribute job {clerk, cook}
@attribute id numeric
@attribute class {good, bad}
@data
30,clerk,1,good
41,?,2,bad
52,cook,3,good
"""


class OpenML:
    """Plays openml.org for data set 7: descriptions as JSON, values as ARFF."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        names = [("age", "numeric"), ("job", "nominal"), ("id", "numeric"), ("class", "nominal")]
        features = [
            {
                "index": str(i),
                "name": name,
                "data_type": kind,
                "is_target": str(name == "class").lower(),
                "is_ignore": "false",
                "is_row_identifier": str(name == "id").lower(),
                "number_of_missing_values": "0",
            }
            for i, (name, kind) in enumerate(names)
        ]
        self.answers = {
            "/json/data/7": {
                "data_set_description": {
                    "id": "7",
                    "name": "toy",
                    "version": "1",
                    "format": "ARFF",
                    "status": "active",
                    "description": "made up",
                    "default_target_attribute": "class",
                    "url": "https://www.openml.org/data/v1/download/7/toy.arff",
                    "md5_checksum": hashlib.md5(ARFF).hexdigest(),
                }
            },
            "/json/data/features/7": {"data_features": {"feature": features}},
            "/json/data/qualities/7": {"data_qualities": {"quality": [{"name": "NumberOfInstances", "value": "3"}]}},
        }

    def __call__(self, request, *args, **kwargs):
        url = request if isinstance(request, str) else request.full_url
        self.asked.append(url)
        if url.endswith("toy.arff"):
            return Answer(ARFF)
        for end, content in self.answers.items():
            if url.endswith(end):
                return Answer(json.dumps(content).encode())
        raise HTTPError(url, 412, "unknown data set", None, io.BytesIO())


class Answer(io.BytesIO):
    def info(self) -> dict[str, str]:
        return {}


@pytest.fixture
def stand_in(monkeypatch) -> OpenML:
    server = OpenML()
    monkeypatch.setattr("sklearn.datasets._openml.urlopen", server)
    return server


def test_openml_table_with_its_own_target(stand_in, tmp_path):
    table = openml.load(id=7, cache_dir=str(tmp_path))
    assert table.name == "toy" and table.schema.names == ["age", "job", "class"]  # no row identifier
    assert table.minority == "bad" and table.schema["job"].missing
    asked = len(stand_in.asked)
    assert openml.load(id=7, cache_dir=str(tmp_path)).digest == table.digest
    assert len(stand_in.asked) == asked  # the second time from the cache


def test_openml_target_can_be_named(stand_in, tmp_path):
    table = openml.load(id=7, cache_dir=str(tmp_path), target="class", drop=["job"])
    assert table.schema.names == ["age", "class"]
    with pytest.raises(DataError, match="'job' has 1 missing"):
        openml.load(id=7, cache_dir=str(tmp_path), target="job")


def test_openml_unknown_id(stand_in, tmp_path):
    with pytest.raises(DataError, match="OpenML data set 8 cannot be used"):
        openml.load(id=8, cache_dir=str(tmp_path))
    with pytest.raises(ConfigError, match=r"data\.id is not set"):
        openml.load(id=None)


@pytest.mark.filterwarnings("ignore:A network error")
def test_openml_offline(monkeypatch, tmp_path):
    def offline(*args, **kwargs):
        raise URLError("no route to host")

    monkeypatch.setattr("sklearn.datasets._openml.urlopen", offline)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(DataError, match=r"no route to host.*data=csv") as caught:
        openml.load(id=7, cache_dir=str(tmp_path))
    assert "\n" not in str(caught.value)
