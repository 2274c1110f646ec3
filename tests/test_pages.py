"""Every example in docs/ does what the page says."""

from __future__ import annotations

import contextlib
import doctest
import itertools
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from fake_server import FakeLLM
from in_process import in_process

from opal.data import paper_files

TESTS = Path(__file__).resolve().parent
DOCS = TESTS.parent / "docs"
PAGES = [p for p in sorted(DOCS.glob("*.md")) if ">>> " in p.read_text()]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LOOSELY = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize(
    "page",
    [pytest.param(p, marks=[pytest.mark.slow] if p.stem == "sampler" else []) for p in PAGES],
    ids=lambda p: p.stem,
)
def test_examples_hold(page: Path) -> None:
    found = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert found.attempted and not found.failed


def sections(page: Path) -> dict[str, str]:
    """Each ``## `` section by its title, what stands before the first one put before it."""
    before, *rest = page.read_text(encoding="utf-8").split("\n## ")
    return {text.partition("\n")[0]: f"{before}\n## {text}" for text in rest}


class Shell:
    """Runs the ``console`` blocks of a page in the working folder; OPAL's verbs in this process, which is faster."""

    def __init__(self) -> None:
        self.background: list[subprocess.Popen] = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = str(free.getsockname()[1])
        self.mirror = ""  # where paper.rows fetches from, in place of the study's repository

    def play(self, text: str) -> None:
        """Write the files that the blocks of ``text`` name in their first line, and run their commands."""
        for language, block in BLOCK.findall(text):
            if named := re.match(r"# (\S+\.(?:py|yaml))\n", block):
                path = Path(named[1])
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block[named.end() :].replace("8080", self.port), encoding="utf-8")
            elif language == "console":
                for command, expected in commands(block):
                    said = self.run(command)
                    assert doctest.OutputChecker().check_output(expected, said, LOOSELY), f"$ {command}\n{said}"

    def run(self, command: str) -> str:
        """What ``command`` prints; it must succeed."""
        command = os.path.expandvars(command.replace("8080", self.port))
        command = command.replace("paper.rows=llm", f"paper.rows=llm {self.mirror}")
        if command.endswith("&"):
            self.background.append(subprocess.Popen(shlex.split(command[:-1]), stderr=subprocess.DEVNULL))
            self.wait_for_server()
            return ""
        words = shlex.split(command)
        if words[0] == "opal":
            return in_process(words[1:])
        done = subprocess.run(command, shell=True, text=True, check=True, stdout=subprocess.PIPE)
        return done.stdout

    def wait_for_server(self) -> None:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(self.port))):
                return
            time.sleep(0.1)
        raise TimeoutError("the page's server is not up within a minute")

    def end(self) -> None:
        for process in self.background:
            process.kill()
            process.wait()


def commands(block: str) -> list[tuple[str, str]]:
    """Each ``$ command`` of a block, continued lines joined, and what it is said to print."""
    found = []
    for text in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, expected = re.sub(r" \\\n +", " ", text).partition("\n")
        found.append((command, expected))
    return found


@pytest.fixture
def shell(tmp_path, monkeypatch, empty_store):
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_store, tmp_path)
    started = Shell()
    yield started
    started.end()


GALLERY = [  # the study's files come from the reference data, not from its repository
    pytest.param(title, marks=[pytest.mark.reference] if "paper.rows=" in text.partition("\n## ")[2] else [])
    for title, text in sections(DOCS / "gallery.md").items()
]


@pytest.mark.slow
@pytest.mark.parametrize("title", GALLERY)
def test_the_gallery_holds(title: str, shell: Shell, tmp_path, monkeypatch, request) -> None:
    text = sections(DOCS / "gallery.md")[title]
    if "serve.py" in text.partition("\n## ")[2]:
        pytest.importorskip("xllamacpp")
    if "paper.rows=llm" in text:
        shared = request.getfixturevalue("shared")
        monkeypatch.setenv("OPAL_DATA_DIR", str(shared / "data"))
        mirror = published_layout(shared / "paper" / "gender_imbalanced", tmp_path / "paper")
        shell.mirror = f"paper.url={mirror} paper.cache_dir={tmp_path}/cache"
    shell.play(text)


@pytest.mark.slow
def test_a_real_table_from_file_to_balanced_file(shell: Shell) -> None:
    pytest.importorskip("vega_datasets")
    shell.play((DOCS / "tables.md").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_recipes_hold_and_miss_no_plugin(shell: Shell, tmp_path, monkeypatch) -> None:
    text = (DOCS / "extend.md").read_text(encoding="utf-8")
    plugin = Path(shutil.copytree(TESTS / "plugin", tmp_path / "tests" / "plugin"))
    for block in BLOCK.findall(text):
        if named := re.match(r"# (tests/plugin/\S+)\n", block[1]):
            assert block[1][named.end() :] == (tmp_path / named[1]).read_text(encoding="utf-8"), named[1]
    for option in plugin.glob("conf/*/*.yaml"):
        assert f"{option.parent.name}={option.stem} " in text, f"{option} stands in no command of docs/extend.md"
    monkeypatch.syspath_prepend(str(plugin))
    monkeypatch.setenv("LAB_KEY", "sk-test")
    apples = itertools.product(["Boskoop", "Elstar"], range(130, 150), [9.9])
    with FakeLLM(answer=lambda body: "\n".join(map(apple, itertools.islice(apples, 10)))) as server:
        monkeypatch.setenv("LAB_URL", server.url)
        shell.play(text)


def apple(values: tuple) -> str:
    return json.dumps(dict(zip(["variety", "weight", "sugar", "sold"], [*values, "no"], strict=True)))


def published_layout(source: Path, folder: Path) -> Path:
    """The study's rows of GPT-4 for gender in ``folder``, under the paths that its repository has."""
    for entry in paper_files.listed("imbalanced", "gender", "llm"):
        kind = "llm" if entry["kind"] == "rows" else entry["kind"]
        path = folder / entry["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((source / f"{kind}_rand{entry['seed']}.csv").read_bytes())
    return folder
