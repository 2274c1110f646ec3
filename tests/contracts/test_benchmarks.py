"""scripts/bench: one table of what every benchmark script finds, kept beside the last figures."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# a stand-in for a benchmark: its ratio is in a file, so that it can get worse
FAKE = """
import sys
from pathlib import Path
from benchmark import Figure, finish
sys.exit(finish(Figure("fake beside true", float(Path(__file__).with_name("ratio").read_text()), most=2, note="1 s")))
"""


@pytest.fixture
def bench(root, tmp_path):
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "bench_fake.py").write_text(FAKE)
    (scripts / "bench_lacking.py").write_text("from benchmark import skip\nskip('no such table here')")
    (tmp_path / "BENCHMARKS.md").write_text("# Ours\n\nBy hand.\n")

    def run(ratio: float, *arguments: str) -> tuple[int, str, str]:
        """Exit status, what is printed, and the page."""
        (scripts / "ratio").write_text(str(ratio))
        command = [sys.executable, str(root / "scripts" / "benchmark.py"), "--root", str(tmp_path), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr, (tmp_path / "BENCHMARKS.md").read_text()

    return run


@pytest.mark.slow
def test_bench_writes_the_table_and_refuses_a_worse_ratio(bench, tmp_path):
    code, said, page = bench(1.5)
    assert code == 0, said
    assert "bench_lacking.py: left out: no such table here" in said
    assert page.startswith("# Ours\n\nBy hand.\n")
    assert "| fake beside true | `scripts/bench_fake.py` | 1.50 (1 s) | at most 2: met |" in page
    assert "numpy" in page and "cores" in page
    code, said, page = bench(2.1, "fake")
    assert code == 1 and "fake beside true: 1.50 became 2.10" in said
    assert "| 1.50 (1 s) |" in page, "the figure to compare with stays"
    code, _, page = bench(2.1, "fake", "--accept")
    assert code == 0 and "| 2.10 (1 s) | at most 2: missed |" in page and page.count("fake beside true") == 1
    code, said, _ = bench(2.1, "--minutes", "0")
    assert code == 0 and "bench_fake.py: left out: 0 s are left" in said


def test_bench_tells_of_a_script_that_fails(bench, tmp_path):
    (tmp_path / "scripts" / "bench_fake.py").write_text("1 / 0")
    code, said, _ = bench(1.0)
    assert code == 1 and "bench_fake.py: FAILED with exit status 1" in said
    code, said, _ = bench(1.0, "none")
    assert code == 1 and "none is none of fake, lacking" in said
    assert not (tmp_path / "benchmarks.json").exists()


def test_the_kept_table_is_that_of_the_kept_results(root):
    kept = root / "benchmarks.json"
    page = (root / "BENCHMARKS.md").read_text()
    results = json.loads(kept.read_text())
    for command, entry in results.items():
        assert (root / command.split()[0]).is_file()
        shown = not command.endswith(" --quick") or command.removesuffix(" --quick") not in results
        rows = [f"| {figure['name']} | `{command}` | {figure['ratio']:.2f}" for figure in entry["figures"]]
        assert shown == all(row in page for row in rows)
