"""A record that somebody else may have written is data: it can neither run code of its own nor receive a key."""

from __future__ import annotations

import gzip
import json
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

RECORDED = Path(__file__).with_name("recorded_0_1")
PLUGIN = Path(__file__).parents[1] / "plugin"


class Proof:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def record(tmp_path):
    """``record(name) -> folder``: a copy of a recorded run that may be changed."""

    def copied(name: str) -> Path:
        return Path(shutil.copytree(RECORDED / name, tmp_path / name))

    return copied


def change(folder: Path, **sections) -> Path:
    path = folder / "artifacts" / "config.yaml"
    config = yaml.safe_load(path.read_text()) | sections
    path.write_text(yaml.safe_dump(config))
    return folder


@pytest.mark.parametrize(
    "section",
    [
        {"curate": {"_target_": "pandas.read_pickle", "filepath_or_buffer": "BOMB"}},
        {"curate": {"_target_": "pandas.read_pickle", "_partial_": True}},
        {"curate": {"_target_": "joblib.load", "filename": "BOMB"}},
        {"method": {"_target_": "numpy.load", "file": "BOMB", "allow_pickle": True}},
        {"method": {"_target_": "opal.methods.Smote", "k_neighbors": {"_target_": "builtins.eval", "_args_": ["1"]}}},
        {"controls": {"mine": {"_target_": "os.system", "command": "touch PROOF"}}},
        {"curate": {"_target_": "opal.evaluate.Chain", "filters": [{"_target_": "joblib.load", "filename": "BOMB"}]}},
        {"data": {"_target_": "opal.evaluate.curve.pickle.loads", "data": "x"}},
        {"method": {"_target_": "opal.sweep.Callback"}},
        {"method": {"_target_": "${oc.env:HOME}"}},
        {"method": {"_target_": ["os.system"]}},
    ],
)
def test_a_record_builds_nothing_but_what_opal_knows(section, record, tmp_path, verb):
    proof = tmp_path / "proof"
    (tmp_path / "bomb").write_bytes(pickle.dumps(Proof(proof)))
    text = json.dumps(section).replace("BOMB", str(tmp_path / "bomb")).replace("PROOF", str(proof))
    for flags in ((), ("--fresh",)):
        code, out, err = verb("reproduce", str(change(record("smote"), **json.loads(text))), *flags)
        assert code == 2 and out == ""
        assert err.count("\n") == 1 and "is not OPAL's" in err and next(iter(section)) in err
        shutil.rmtree(tmp_path / "smote")
    assert not proof.exists()


def test_the_refusal_names_place_and_mend(record, verb):
    folder = change(record("smote"), curate={"_target_": "pandas.read_pickle", "filepath_or_buffer": "x"})
    _, _, err = verb("reproduce", str(folder))
    assert err == (
        "opal: the recorded curate._target_=pandas.read_pickle is not OPAL's: --trust pandas allows it, "
        "if you trust that code\n"
    )


@pytest.mark.slow
def test_a_plugin_is_built_only_when_trusted(record, verb, monkeypatch):
    monkeypatch.syspath_prepend(str(PLUGIN))
    monkeypatch.delitem(sys.modules, "opal_jitter", raising=False)  # another test may have used it
    folder = change(record("smote"), method={"_target_": "opal_jitter.Jitter", "scale": 0.1})
    code, _, err = verb("reproduce", str(folder))
    assert code == 2 and "--trust opal_jitter" in err and "opal_jitter" not in sys.modules
    code, out, err = verb("reproduce", str(folder), "--trust", "somebody", "--trust", "opal_jitter")
    assert code == 1 and "NOT reproduced" in out, err  # it ran, with rows of its own
    code, _, _ = verb("reproduce", str(folder), "--trust", "opal_jit")
    assert code == 2, "a package is trusted by its whole name"


def test_text_in_a_record_is_not_resolved(record, verb, monkeypatch):
    monkeypatch.setenv("OPAL_SENTINEL", "sk-sentinel")
    folder = record("llm")
    path = folder / "artifacts" / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["method"]["prompt"]["examples"] = "${oc.env:OPAL_SENTINEL}"
    path.write_text(yaml.safe_dump(config))
    code, out, err = verb("reproduce", str(folder))
    assert code == 2 and "${oc.env:OPAL_SENTINEL}" in err and "sk-sentinel" not in out + err


@pytest.mark.slow
def test_a_recorded_prompt_cannot_reach_python(record, verb):
    folder = record("llm")
    path = folder / "artifacts" / "config.yaml"
    config = yaml.safe_load(path.read_text())
    attack = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    config["method"]["prompt"] |= {"completion": attack, "user": attack}
    path.write_text(yaml.safe_dump(config))
    code, _, err = verb("reproduce", str(folder))
    assert code == 2 and "unsafe" in err and err.count("\n") == 1, err


def test_a_recorded_endpoint_gets_no_key(record, verb, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-sentinel")
    folder = record("llm")
    path = folder / "artifacts" / "config.yaml"
    config = yaml.safe_load(path.read_text())
    client = config["method"]["client"]
    client |= {"server": None, "model": "m", "base_url": "https://collector.example/v1"}
    client.pop("key_env", None)  # its default is OPENAI_API_KEY
    path.write_text(yaml.safe_dump(config))
    code, _, err = verb("reproduce", str(folder), "--fresh")
    assert code == 2 and "would receive your key: --trust collector.example allows it" in err
    assert "sk-sentinel" not in err


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("run.json", b"{}"),
        ("run.json", b"[1, 2"),
        ("run.json", b"\xff\xfe\x00"),
        ("artifacts/config.yaml", b"a: [1"),
        ("artifacts/config.yaml", b"- 1\n- 2\n"),
        ("artifacts/config.yaml", b"a: &a [1, 1]\nb: [*a, *a]\n"),
        ("artifacts/config.yaml", b"\x00\x01"),
        ("artifacts/config.yaml", b"a: !!python/object/apply:os.system [exit]"),
        ("artifacts/responses.jsonl.gz", b"no gzip"),
        ("artifacts/responses.jsonl.gz", gzip.compress(b'{"key": "../../../x", "record": {}}\n')),
        ("artifacts/responses.jsonl.gz", gzip.compress(b'{"record": {}}\n')),
        ("artifacts/prompts/seed_1.jsonl", b"no json\n"),
        ("artifacts/data/table.json", b"{}"),
        ("artifacts/data/table.parquet", b"PAR1 and then nothing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "content",  # packed bytes hold the time
)
def test_a_damaged_record_is_named(name, content, record, verb):
    folder = record("llm")
    assert (folder / name).is_file(), "the record has such a file"
    (folder / name).write_bytes(content)
    code, _, err = verb("reproduce", str(folder))
    assert code == 2 and err.count("\n") == 1, err
    assert Path(name).name in err and "is damaged" in err


def test_answers_that_unpack_to_gigabytes_are_refused(record, verb, monkeypatch):
    monkeypatch.setattr("opal.record.provenance.UNPACKED_LIMIT", 10_000)
    folder = record("llm")
    (folder / "artifacts" / "responses.jsonl.gz").write_bytes(gzip.compress(bytes(np.full(20_000, ord("x"), "u1"))))
    code, _, err = verb("reproduce", str(folder))
    assert code == 2 and "unpacks to more than 10000 bytes" in err
