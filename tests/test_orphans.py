"""A process that was started for jobs ends when the one that started it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

STARTED = """
import os, subprocess, sys
code = f"import time; from opal.orphans import end_with; {before}end_with({os.getpid()}); time.sleep(30)"
subprocess.run([sys.executable, "-c", code + "; print('outlived it')"])
"""
FITS = """
import os, time
from opal.evaluate.fits import each
for _ in each(print, [("on",), ("on",)], n_jobs=2):
    pass
time.sleep(30)  # joblib keeps the processes for its next jobs
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "parent",
    [
        STARTED.replace("{before}", "print('on', flush=True); "),
        STARTED.replace("{before}", "print('on', flush=True); time.sleep(2); "),
        FITS,
    ],
    ids=["at work", "killed before it was told", "fits"],
)
def test_a_process_ends_when_its_parent_is_killed(root, parent):
    env = os.environ | {"PYTHONPATH": str(root), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, env=env) as process:
        assert process.stdout.readline() == b"on\n"
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate(timeout=100)  # until no process holds the pipe; joblib's would wait for 300 s
        assert rest in (b"", b"on\n")
        assert process.returncode == -signal.SIGKILL
