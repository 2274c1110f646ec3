"""Random and damaged input ends in a result or one sentence: a short run of scripts/fuzz.py, and what it found."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from omegaconf import OmegaConf

from opal.cli.prepare import limit_budget
from opal.config.build import build, compose
from opal.config.options import Options
from opal.data import build_table
from opal.data.file import load
from opal.data.write import write_table
from opal.errors import ConfigError, DataError, SplitError
from opal.evaluate import Replicates, UnderSampled
from opal.record.differences import compare_environment, content_digest
from opal.record.provenance import read_config
from opal.tasks import Imbalanced

RECORDED = Path(__file__).parents[1] / "record" / "recorded_0_1" / "smote"


@pytest.mark.slow
def test_a_short_run_finds_nothing(root):
    command = [sys.executable, str(root / "scripts" / "fuzz.py"), "--cases", "40", "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("40 cases") == 6


@pytest.mark.parametrize("budget", ["-1", "text", "[]"])
def test_a_budget_that_is_no_section_is_left_to_the_checks(budget):
    limit_budget(OmegaConf.create({"llm": {"budget": yaml.safe_load(budget)}}), "sweep")


def test_a_class_that_the_test_rows_use_up_is_named():
    frame = pd.DataFrame({"a": range(4), "y": ["p", "q", "p", "p"]})
    table = build_table("t", frame, "here", target="y")
    for seed in range(20):
        with pytest.raises(SplitError, match="task=imbalanced"):
            Imbalanced(test_rows=3).split(table, seed)


@pytest.mark.slow
def test_a_class_of_one_row_cannot_be_tuned(tmp_path):
    (tmp_path / "t.csv").write_text("a,y\n" + "1,p\n2,p\n" * 20 + "3,q\n4,q\n")
    typed = ["data=csv", "data.path=t.csv", "data.target=y", "task.minority_share=0.05", "task.train_rows=20"]
    command = [sys.executable, "-m", "opal.tune", "classifier=random_forest", "seeds=[1]", *typed]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "train has a single row of a class, and folds need two" in done.stderr


def test_damaged_files_of_a_record_differ(tmp_path):
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    (prompts / "seed_1.jsonl").write_bytes(b'\xf5{"key": 1}\n[1]\n')
    assert len(content_digest(prompts / "seed_1.jsonl")) == 64
    (tmp_path / "environment.json").write_text('{"opal" "0.2.0"}')
    (found,) = compare_environment(tmp_path)
    assert (found.what, found.recorded, found.equal) == ("environment.json", "damaged", False)


@pytest.mark.parametrize("typed", ["~debug=false", "prompt=null", "curate=3", "~prompt=[1,1]", "curate=[1,[2]]"])
def test_a_group_given_a_number_is_a_mistake_of_the_users(typed):
    with pytest.raises(ConfigError, match="a group takes the name of one of its options"):
        compose(typed)


def test_a_group_that_refers_to_no_group_has_no_keys():
    assert Options("run", ["method=${seeds}"]).chosen["method"] == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seeds": None}, "seeds is missing"),
        ({"n_jobs": None}, "n_jobs is missing"),
        ({"answer": "x"}, "answer=x"),
        ({"answer": {"a": 1}}, "answer.a is not a key of answer"),
        ({"task": {"_target_": "opal.tasks.Imbalanced", "_partial_": True}}, "task._partial_=true"),
        ({"method": {"_target_": "opal.methods.Smote", "_partial_": "x"}}, "method._partial_=x"),
    ],
)
def test_a_changed_record_is_named(change, said, tmp_path):
    folder = Path(shutil.copytree(RECORDED / "artifacts", tmp_path / "artifacts"))
    config = yaml.safe_load((folder / "config.yaml").read_text()) | change
    kept = {key: value for key, value in config.items() if value is not None or key not in change}
    (folder / "config.yaml").write_text(yaml.safe_dump(kept, sort_keys=False))
    with pytest.raises(ConfigError, match=said):
        build(read_config(folder))


@pytest.mark.parametrize(("section", "value"), [("data", 5.5), ("method", "x")])
def test_a_record_whose_section_is_none_is_damaged(section, value, verb, tmp_path):
    run = Path(shutil.copytree(RECORDED, tmp_path / "run"))
    config = run / "artifacts" / "config.yaml"
    config.write_text(yaml.safe_dump(yaml.safe_load(config.read_text()) | {section: value}))
    code, _, err = verb("reproduce", str(run))
    assert code == 2 and err.count("\n") == 1, err
    assert err.startswith("opal: ") and f"is damaged: {section} is not a section of keys" in err


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: Replicates(draws=10**20),
            r"replicates\.draws=1000+ times .*trainings=5 is more than 10,000",
        ),
        (lambda: UnderSampled(draws=10**20), "draws=1000+ of under_sampling must be between 1 and 1000"),
        (lambda: UnderSampled(draws=0), "draws=0 of under_sampling must be between"),
    ],
)
def test_a_number_of_fits_that_would_never_end_is_named(make, said):
    with pytest.raises(ConfigError, match=said):
        make()


@pytest.mark.slow
@pytest.mark.parametrize("typed", ["answer=1", "answer.margin=${nothing}"])
def test_a_sweep_with_a_bad_answer_section_ends_in_sentences(verb, typed):
    code, out, err = verb("run", "-m", "data=craft", "method=none", "seeds=[1]", typed)
    assert code == 1 and "the sweep could not be summed up: " in out + err and "Traceback" not in out + err


@pytest.mark.slow
def test_answer_null_is_its_defaults(verb):
    trial = ("data=craft", "method=none", "seeds=[1]", "controls=none", "validation.folds=0", "figures=false")
    code, out, err = verb("run", *trial, "answer=null")
    assert code == 0 and "recorded as" in err, out + err


def test_a_header_of_one_huge_cell_is_named(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('"' + "x" * 200_000 + "\n1,2\n")
    with pytest.raises(DataError, match=r"no header that can be read|cannot be read as CSV"):
        load(str(path), target="y")


def test_numbers_that_no_tree_can_take_are_named(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,y\n" + "1.5,2,p\n2.5,3,q\n" * 20 + "-1e308,2,q\n")
    with pytest.raises(DataError, match=r"column 'a' holds numbers beyond 3\.4e\+38"):
        load(str(path), target="y")


def test_a_message_is_one_line_whatever_names_hold(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('"a\nb","\x1b[31mred",c\n1,2,3\n')
    with pytest.raises(ConfigError) as fault:
        load(str(path), target="y")
    said = str(fault.value)
    assert "\n" not in said and "\x1b" not in said and r"a\nb" in said and r"\x1b[31mred" in said


def test_mixed_cells_and_huge_numbers_are_written_to_parquet(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,y\n" + "1,x,p\n2,z,q\n" * 5 + f"{'9' * 40},z,q\n")
    table = load(str(path), target="y", free_text="carry")
    write_table(tmp_path / "t.parquet", table, table.frame.head(2))
    assert len(pd.read_parquet(tmp_path / "t.parquet")) == 13
