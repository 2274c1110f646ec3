"""paper.rows: the study's files, served over HTTP in the published layout, fetched once, verified, used as a folder."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pandas as pd
import pytest

from opal.config.build import build, compose
from opal.data import paper_files
from opal.errors import ConfigError, DataError
from opal.methods import Duplicate
from opal.record.tracking import Tracking
from opal.split import write_split
from opal.tasks import Imbalanced

SEEDS = (1, 2)
QUICK = ["experiment=paper_imbalanced", "seeds=[1,2]", "amounts.steps=2", "classifier=logistic", "figures=false"]


class Served:
    """A folder served on 127.0.0.1, and the paths that were asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, []
        asked = self.asked

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                super().do_GET()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()


@pytest.fixture
def study(tmp_path, monkeypatch) -> Iterator[Served]:
    """Made-up files of the crafted table in the study's layout, with a manifest of their digests."""
    table = build(compose("data=craft", "method=none")).table
    folder, entries = tmp_path / "study", []
    task = Imbalanced(split="published", deduplicate=False)
    for rows in ("llm", "smote"):
        place = folder / "data" / f"craft_{rows}"
        for seed in SEEDS:
            split = task.split(table, seed)
            train, test = write_split(table, split, place)
            synthetic = place / f"train_generate_colsbase_rand{seed}.csv"
            made = Duplicate().sample(split.train, 60).frame
            (made if rows == "llm" else made[::-1]).to_csv(synthetic, index=False)
            for kind, path in (("train", train), ("test", test), ("rows", synthetic)):
                digest, name = hashlib.sha256(path.read_bytes()).hexdigest(), path.relative_to(folder).as_posix()
                entry = {"task": "imbalanced", "data": "craft", "rows": rows, "kind": kind}
                entries.append(entry | {"path": name, "sha256": digest})
    monkeypatch.setattr(paper_files, "_manifest", lambda: entries)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    served = Served(folder)
    yield served
    served.server.shutdown()
    served.server.server_close()


def test_files_are_fetched_once_and_again_from_no_address(study, tmp_path):
    folder = paper_files.fetch("imbalanced", "craft", "llm", study.url, str(tmp_path / "cache"))
    assert len(list(folder.iterdir())) == 6 == len(study.asked)
    again = paper_files.fetch("imbalanced", "craft", "llm", "http://127.0.0.1:9", str(tmp_path / "cache"))
    assert again == folder and len(study.asked) == 6


def test_a_changed_file_is_refused_and_not_kept(study, tmp_path):
    path = study.folder / "data" / "craft_llm" / "train_generate_colsbase_rand2.csv"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(DataError, match=r"train_generate_colsbase_rand2\.csv is not the published file: .* not kept"):
        paper_files.fetch("imbalanced", "craft", "llm", study.url, str(tmp_path / "cache"))
    assert not list((tmp_path / "cache").rglob("train_generate_colsbase_rand2.csv"))


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "nowhere", "{served}/elsewhere"])
def test_an_address_that_cannot_be_read_says_what_to_do(url, study, tmp_path):
    with pytest.raises(DataError, match=r"paper\.url=.* cannot be read .*: name a mirror .* paper\.folder"):
        paper_files.fetch("imbalanced", "craft", "llm", url.format(served=study.url), str(tmp_path / "cache"))


def test_a_folder_on_this_machine_is_a_source_too(study, tmp_path):
    folder = paper_files.fetch("imbalanced", "craft", "smote", str(study.folder), str(tmp_path / "cache"))
    assert len(list(folder.iterdir())) == 6 and not study.asked


@pytest.mark.parametrize(
    ("data", "rows", "said"), [("iris", "llm", "it has craft"), ("craft", "gpt", "must be one of")]
)
def test_what_the_study_does_not_have_is_said(data, rows, said, study):
    with pytest.raises(ConfigError, match=said):
        paper_files.fetch("imbalanced", data, rows, study.url)


@pytest.mark.slow
def test_a_sweep_over_rows_equals_runs_on_folders_and_names_tell_them_apart(study, verb, tmp_path):
    given = [f"paper.url={study.url}", "paper.cache_dir=cache"]
    code, out, err = verb("run", "-m", *QUICK, *given, "paper.rows=llm,smote")
    assert code == 0, err
    runs = {run.info.run_name.split("/")[1]: run for run in Tracking().runs("tags.`opal.kind` = 'trial'")}
    assert set(runs) == {"replay-llm", "replay-smote"}
    code, out, err = verb("run", *QUICK, f"paper.folder={tmp_path}/cache/imbalanced/craft/llm")
    assert code == 0 and "finished already" in err, "the address and the cache have no part in the hash"
    code, out, err = verb("compare")
    assert code == 0 and "rows=llm" in out and "rows=smote" in out, out + err
    code, out, err = verb("run", *QUICK, *given, "paper.rows=llm", "paper.folder=x")
    assert code == 2 and "exclude each other" in err


def test_the_manifest_is_part_of_the_package():
    entries = list(csv.DictReader(Path(paper_files.__file__).with_suffix(".csv").open()))
    assert len([e for e in entries if e["rows"]]) == 315
    assert all(len(e["sha256"]) == 64 and not Path(e["path"]).is_absolute() for e in entries)


@pytest.mark.slow
@pytest.mark.reference
@pytest.mark.parametrize("rows", paper_files.ROWS)
def test_the_published_curves_come_from_served_files(rows, shared, tmp_path):
    """The reference files of gender, served under their published names, give the printed curve."""
    paper = shared / "paper" / "gender_imbalanced"
    folder = tmp_path / "study"
    for entry in paper_files.listed("imbalanced", "gender", rows):
        kind = rows if entry["kind"] == "rows" else entry["kind"]
        path = folder / entry["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(paper / f"{kind}_rand{entry['seed']}.csv")
    served = Served(folder)
    fetched = paper_files.fetch("imbalanced", "gender", rows, served.url, str(tmp_path / "cache"))
    given = ("experiment=paper_imbalanced", "data=gender", f"data_dir={shared}/data", f"paper.folder={fetched}")
    curve = build(compose(*given)).run().curve()
    expected = pd.read_csv(paper / "expected.csv", index_col=["method", "classifier", "statistic"])
    printed = expected.loc[(rows, "logistic", "mean")].to_numpy(float)
    assert curve.mean().to_numpy() == pytest.approx(printed[~pd.isna(printed)], abs=1e-9)
    served.server.shutdown()
    served.server.server_close()
