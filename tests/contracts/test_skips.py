"""A skip for a reason that is not written down fails the session, in every process of it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import skips


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["0", "2"])
def test_a_skip_for_no_written_reason_fails_the_session(processes, root, tmp_path):
    (tmp_path / "conftest.py").write_text((root / "tests" / "conftest.py").read_text())
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "def test_one(): pytest.skip('the neighbour has gone')\n"
        "def test_two(): pytest.skip('no Ray')\n"
        "def test_three(): pass\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-n", processes, "-p", "no:cacheprovider", "-c", "/dev/null"]
    path = f"pythonpath={root}/tests"
    lean = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # Hypothesis and Hydra bring plugins that load slowly
    words = [*command, "-p", "xdist", "-o", path, "--rootdir", tmp_path, tmp_path]
    done = subprocess.run(words, capture_output=True, text=True, env=lean)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "the neighbour has gone" in done.stdout and "tests/skips.py" in done.stdout
    assert "no Ray" not in done.stdout.partition("skipped for a reason")[2]


def test_ci_allows_few_reasons(monkeypatch):
    monkeypatch.setenv("CI", "true")
    monkeypatch.delenv("OPAL_CI_LACKS", raising=False)
    assert skips.unexpected({"no Chromium with its driver on this machine", "no Ray"}) == [
        "no Chromium with its driver on this machine"
    ]
    monkeypatch.setenv("OPAL_CI_LACKS", "chromium postgresql")
    assert not skips.unexpected({"no Chromium with its driver on this machine", "no PostgreSQL server on this machine"})
