"""The command line itself: help, completion in a real shell, and what a slip of the finger gets."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from in_process import in_process
from trials import SMALL_FOREST

import opal
from opal.cli.completion import SHELLS, candidates
from opal.cli.main import VERBS, main
from opal.config.options import HYDRA_VERBS, Options


def helps(verb: str) -> str:
    return in_process([verb, "--help"])


@pytest.mark.parametrize("verb", VERBS)
def test_help_is_short_shows_the_example_and_names_keys_that_exist(verb):
    text = helps(verb)
    assert f"\n  {VERBS[verb][1]}" in text
    assert len(text.splitlines()) < 48 and "hydra" not in text.lower()
    if verb in HYDRA_VERBS:
        assert re.search(r"^method: .*smote", text, re.MULTILINE)
        shown = text.partition("KEY=VALUE")[2].partition("GROUP=OPTION")[0]
        keys = re.findall(r"(?<![\w.(])([a-z][\w.]*)=", re.sub(r"(?<=  )(with|or) .*|\(.*\)", "", shown))
        known = [*Options(verb, ["data=csv", "method=llm", "llm=openai"]).names(), "space.C"]
        assert len(keys) >= 4 and not set(keys) - set(known)


@pytest.mark.slow
def test_the_examples_of_every_help_run(tmp_path, monkeypatch, empty_store, root):
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_store, tmp_path)
    pd.DataFrame({"x": range(40), "label": ["few", "many", "many", "many"] * 10}).to_csv("in.csv", index=False)
    small = {"run": ["debug=fast", SMALL_FOREST, "fidelity=false"]}
    small |= {"tune": ["trials=1", "seeds=[1]", "classifier.estimator.n_estimators=20"]}
    said = {}
    for verb in ("run", "answer", "augment", "split", "tune", "compare", "store", "export", "reproduce"):
        for example in re.findall(r"^  opal (\w+ .*?|store)(?:   .*)?$", helps(verb), re.MULTILINE):
            if verb in ("export", "reproduce"):  # the README's own, which its test runs
                assert f"python -m opal.{example}\n" in (root / "README.md").read_text()
            else:
                words = shlex.split(example)
                said[example] = in_process(words + small.get(words[0], []))
    assert "nothing" in said["run -m data=craft method=smote,duplicate"]
    assert "seed 42: 100 train rows" in said["split data=craft output=splits"]
    assert "craft_random_forest" in said["run --config-dir tuned data=craft classifier=craft_random_forest method=none"]
    assert pd.read_csv("out.csv")["label"].value_counts().tolist() == [30, 30]
    assert "craft/smote/logistic" in Path("report.html").read_text()
    assert len(said) == 10


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("", [*VERBS, "completion", "--help"]),
        ("com", ["compare", "completion"]),
        ("run met", ["method.", "method="]),
        ("run method=s", ["method=smote", "method=svm_smote"]),
        ("run method=llm,du", ["method=llm,duplicate"]),
        ("run data.p", []),
        ("run data=csv data.p", ["data.path="]),
        ("run data=csv data.path=in", ["data.path=in.csv"]),
        ("run llm.budget.m", ["llm.budget.money="]),
        ("run fidelity=", ["fidelity=true", "fidelity=false"]),
        ("run experiment=paper_spurious pa", ["paper."]),
        ("run --m", ["--multirun"]),
        ("tune classifier=catboost space.d", ["space.depth="]),
        ("augment out", ["output="]),
        ("compare data=cr", ["data=craft"]),
        ("compare --fi", ["--figures"]),
        ("export abc --output fol", ["folder/"]),
        ("store p", ["prune"]),
        ("completion f", ["fish"]),
        ("nonsense x", []),
    ],
)
def test_what_may_follow(line, found, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("in.csv").touch()
    Path("folder").mkdir()
    assert candidates(line.split(" "), list(VERBS)) == found


def test_options_of_ones_own_are_completed_too(root):
    words = f"run --config-dir {root}/tests/plugin/conf data=orchard data=o".split()
    assert candidates(words, list(VERBS)) == ["data=openml", "data=orchard"]


START = {"bash": ["--norc", "--noprofile", "-i"], "zsh": ["-f", "-i"], "fish": ["--no-config", "-i"]}
DEFINE = {"fish": "function opal; {} -m opal.cli.main $argv; end"}


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_completes_in_a_real_shell(shell, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    define = DEFINE.get(shell, 'opal() {{ {} -m opal.cli.main "$@"; }}').format(sys.executable)
    take = "opal completion fish | source" if shell == "fish" else f'eval "$(opal completion {shell})"'
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        os.execvpe(shell, [shell, *START[shell]], os.environ | {"TERM": "dumb", "HOME": str(tmp_path), "PS1": "> "})
    try:
        say(terminal, f"{define}; {take}; echo rea''dy\n", "ready")
        say(terminal, "opal run data=craft method=llm,smo\t", "method=llm,smote")
        say(terminal, "\x15opal ru\t", "opal run")
        say(terminal, "\x15opal run method=du\t", "method=duplicate")
    finally:
        os.close(terminal)
        os.kill(child, 9)
        os.waitpid(child, 0)


def say(terminal: int, keys: str, expected: str, patience: float = 30.0) -> None:
    """Type ``keys`` and wait until ``expected`` stands on the screen."""
    os.write(terminal, keys.encode())
    seen, until = "", time.monotonic() + patience
    while time.monotonic() < until:
        if select.select([terminal], [], [], 0.2)[0]:
            seen += os.read(terminal, 4096).decode(errors="replace")
        if expected in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]|\r|\x08", "", seen):
            return
    raise AssertionError(f"{keys!r} did not lead to {expected!r} but to {seen!r}")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("rnu", "rnu is not a verb; did you mean run?"),
        ("run methd=smote", "methd is not a key; did you mean method?"),
        ("run method=smoot", "method=smoot is not an option; did you mean smote? options: adasyn"),
        ("run -m data=csv data.pth=a,b", "data.pth is not a key of data=csv; did you mean data.path?"),
        ("run --method=smote", "--method=smote begins with dashes, which settings do not: write method=smote"),
        (
            "run llm=azure llm.headers={team:a}",
            "llm.headers={team:a} names keys that llm.headers has not: +llm.headers.",
        ),
        ("run -m hydra/lancher=joblib", "hydra/lancher is not a key; did you mean hydra/launcher?"),
        ("run --metod llm", "--metod is not a flag; did you mean method=llm?"),
        ("reproduce 1a2b3c4d5e6f again", "again is one word too many: opal reproduce --help shows what it takes"),
        ("run method=none -m data=craft", "data=craft stands apart from the other settings: write flags such as -m"),
        ("run --cfg foo", "--cfg foo is not one of job, hydra, all"),
        ("run method=smote,none", "method=smote,none names several values: add -m for a run with each"),
        ("run seeds=[1", "seeds=[1 cannot be read: close its brackets"),
        ("run data=null", "data=null is not an option; options: breast_cancer"),
        ("run method=none seeds=[1,1]", "seeds=[1, 1] must be a list of different whole numbers"),
        ("run method=none task.test_rows=many", "task.test_rows=many must be a whole number or null"),
        ("run llm=openai llm.timeout=long", "llm.timeout=long must be a number"),
        ("run classifier=knn classifier.scale=maybe method=none", "classifier.scale=maybe must be true or false"),
        ("compare --metod llm", "--metod is not a flag; did you mean method=llm?"),
        ("export --output x", "opal export needs run: opal export --help says"),
        ("store prun", "verb prun is not one of size, prune, log; did you mean prune?"),
        ("augment outptu=x.csv", "outptu is not a key; did you mean output?"),
        ("compare methd=smote", "methd is not a group; did you mean method?"),
    ],
)
def test_a_slip_is_answered_in_one_sentence(words, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.setattr(sys, "argv", ["opal", *words.split()])
    with pytest.raises(SystemExit) as left:
        main()
    said = capsys.readouterr()
    assert left.value.code in (1, 2) and not said.out
    assert said.err.startswith(f"opal: {sentence}") and said.err.count("\n") == 1, said.err  # nor a line of Hydra's


@pytest.mark.parametrize("key", ["data.kinds.X1=real", "tracking.tags.team=x", "data.descriptions.X1=size"])
def test_sections_that_take_any_name_need_no_plus(key):
    assert key.split("=")[1] in in_process(["run", key, "--cfg", "job", "--package", key.split("=")[0]])


def test_the_version_is_the_packages(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["opal", "--version"])
    main()
    assert capsys.readouterr().out == f"opal {opal.__version__}\n"


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["run", "augment", "split", "tune", "look"])
def test_help_is_hydras_without_hydra(verb, root):
    def said(*command: str) -> str:
        return subprocess.run([sys.executable, *command], capture_output=True, text=True, cwd=root, check=True).stdout

    assert said("-m", "opal.cli.main", verb, "--help") == said("-m", f"opal.{verb}", "--help")
    code = f"import sys; sys.argv = ['opal', '{verb}', '--help']; from opal.cli.main import main; main(); "
    code += "print(sorted(set(sys.modules) & {'hydra', 'pandas', 'omegaconf'}))"
    assert said("-c", code).splitlines()[-1] == "[]"


def test_a_file_in_place_of_a_verb_is_told_what_to_type(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my table.csv").write_text("age;bmi;sick\n31;30,2;yes\n45;24,9;no\n")
    monkeypatch.setattr(sys, "argv", ["opal", "my table.csv"])
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr().err
    assert "opal look data=csv 'data.path=my table.csv' data.target=sick" in said
    assert "age, bmi, sick" in said and said.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("command", [["--help"], ["run", "--help"], ["look", "data=craft"], ["store"]])
def test_a_reader_that_leaves_ends_the_verb_without_a_traceback(command, tmp_path, empty_store):
    shutil.copy(empty_store, tmp_path)
    read, write = os.pipe()
    os.close(read)  # as `opal ... | true`
    line = [sys.executable, "-m", "opal.cli.main", *command]
    done = subprocess.run(line, stdout=write, stderr=subprocess.PIPE, text=True, cwd=tmp_path, timeout=120)
    os.close(write)
    assert done.returncode == 1 and not done.stderr
