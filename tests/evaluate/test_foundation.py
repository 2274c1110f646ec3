"""classifier=tabicl: what is said where package or weights are missing, and TabICL itself with a tiny checkpoint.

The published weights are not tested: they lie on Hugging Face. Where the package is missing (it needs PyTorch), the
tests of the network are skipped.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny_tabicl
import trials
from tables import mixed_frame, mixed_table, number_table

from opal.config.build import compose, instantiate
from opal.errors import ConfigError, DataError
from opal.evaluate import foundation, tabicl
from opal.record.config_hash import config_hash
from opal.tasks import Imbalanced

CONTENT = b"weights"
SHA = hashlib.sha256(CONTENT).hexdigest()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Address of a folder with the file a.ckpt; downloads are kept below the test's own folder."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "a.ckpt").write_bytes(CONTENT)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "served")))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_one_sentence_where_the_package_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "tabicl", None)
    for overrides, section in ((["classifier=tabicl"], "classifier"), (["controls=foundation"], "controls")):
        with pytest.raises(ConfigError, match=r'pip install "opal\[tabicl\]"'):
            instantiate(compose(*overrides), section)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("no/such.ckpt", "is not a file: give the path of tabicl-classifier"),
        ("https://example.org/a.ckpt", "needs the file's SHA-256"),
        ("https://example.org/a.ckpt#sha256=12", "needs the file's SHA-256"),
    ],
)
def test_one_sentence_says_what_is_wrong_with_weights(weights, words):
    with pytest.raises(ConfigError, match=words):
        foundation.check_weights(weights)


def test_weights_are_downloaded_once_and_verified(served, tmp_path):
    kept = foundation.located(f"{served}/a.ckpt#sha256={SHA.upper()}")
    assert kept.read_bytes() == CONTENT and kept.is_relative_to(tmp_path / "cache")
    (tmp_path / "served" / "a.ckpt").unlink()
    assert foundation.located(f"{served}/a.ckpt#sha256={SHA}") == kept
    with pytest.raises(DataError, match=r"cannot be fetched \(HTTP 404\)"):
        foundation.located(f"{served}/a.ckpt#sha256={'0' * 64}")


def test_a_file_with_another_digest_is_not_kept(served, tmp_path):
    with pytest.raises(DataError, match="holds another file than that SHA-256 names"):
        foundation.located(f"{served}/a.ckpt#sha256={'0' * 64}")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("choice", "key"),
    [("classifier=tabicl", "classifier.weights"), ("controls=foundation", "controls.tabicl.classifier.weights")],
)
def test_the_hash_holds_the_weights_digest_wherever_they_lie(choice, key, tmp_path):
    for name, content in (("a.ckpt", CONTENT), ("b.ckpt", CONTENT), ("c.ckpt", b"others")):
        (tmp_path / name).write_bytes(content)
    places = [f"'{tmp_path / name}'" for name in ("a.ckpt", "b.ckpt", "c.ckpt")]
    places += [f"'https://example.org/x.ckpt#sha256={SHA}'"]
    one, same, other, remote = (config_hash(compose(choice, f"{key}={place}"), trials.table()) for place in places)
    assert one == same == remote != other


def test_the_context_teaches_it(tabicl_weights):
    table = number_table(400)
    split = Imbalanced(100, 0.3, test_rows=100).split(table, 1)
    classifier = tabicl(str(tabicl_weights))
    truth = split.test["label"].to_numpy()
    proba = classifier.fit(split.train.frame, split.train.schema).predict_proba(split.test)
    assert (proba.argmax(axis=1) != truth).mean() < 0.25
    turned = split.train.frame.assign(label=1 - split.train.frame["label"])
    learned = classifier.fit(turned, split.train.schema).predict_proba(split.test)
    assert (learned.argmax(axis=1) != truth).mean() > 0.75


def test_names_gaps_a_single_class_and_a_single_row_are_taken(tabicl_weights):
    table = mixed_table(300)
    split = Imbalanced(40, 0.2, test_rows=40).split(table, 1)
    train, labels = split.train.frame, split.train.schema.labels
    assert train.isna().any().any()
    classifier = tabicl(str(tabicl_weights), n_estimators=2)
    few = train.groupby(table.schema.target, observed=True).head(1)
    for frame in (train, few):
        proba = classifier.fit(frame, split.train.schema).predict_proba(split.test)
        assert proba.shape == (40, len(labels)) and np.allclose(proba.sum(axis=1), 1)
    own = train[train[table.schema.target] == table.minority]
    for frame in (own, own.head(1)):
        alone = classifier.fit(frame, split.train.schema).predict_proba(split.test)
        assert (alone[:, labels.index(table.minority)] == 1).all()


def test_every_process_finds_the_same_probabilities(tabicl_weights, root):
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from tables import number_table\n"
        "from opal.evaluate import tabicl\n"
        "table = number_table(60)\n"
        f"fitted = tabicl({str(tabicl_weights)!r}).fit(table.frame, table.schema)\n"
        "print(fitted.predict_proba(table.frame).tobytes().hex())"
    )
    found = set()
    for seed in ("0", "1"):  # two orders of the set that TabICL groups its views by
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(done.stdout)
    assert len(found) == 1


def test_another_file_or_a_regressor_is_refused(tabicl_weights, tmp_path):
    table = number_table(60)
    (tmp_path / "other.ckpt").write_bytes(CONTENT)
    tiny_tabicl.write(tmp_path / "regressor.ckpt", steps=0, max_classes=0, num_quantiles=9)
    for name, words in (("other", "is not a checkpoint of TabICL"), ("regressor", "is a regressor")):
        with pytest.raises(ConfigError, match=words):
            tabicl(str(tmp_path / f"{name}.ckpt")).fit(table.frame, table.schema)
    with pytest.raises(ConfigError, match="n_estimators=0 of tabicl"):
        tabicl(str(tabicl_weights), n_estimators=0)
    with pytest.raises(ConfigError, match="tabicl has no weights"):
        tabicl()


def test_a_saved_model_loads(tabicl_weights, verb):
    import mlflow

    mixed_frame(300).to_csv("in.csv", index=False)
    own = ["data=csv", "data.path=in.csv", "data.target=outcome", "seeds=[1,2]", "amounts.steps=1", "contamination=off"]
    given = ["classifier=tabicl", f"classifier.weights='{tabicl_weights}'", "controls=none"]
    code, _, err = verb("fit", *own, *given, "output=model")
    assert code == 0, err
    assert "tabicl==" in Path("model/requirements.txt").read_text()
    rows = pd.read_csv("in.csv").drop(columns="outcome")
    assert mlflow.sklearn.load_model("model").predict_proba(rows).shape == (300, 2)
