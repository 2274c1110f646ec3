"""A process of joblib ends when the process that started it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

PARENT = """
import subprocess, sys
from opal.sweep.orphans import lead
lead()
child = "import time; from opal.sweep.orphans import end_with_leader; {before}end_with_leader(); time.sleep(30)"
subprocess.run([sys.executable, "-c", child + "; print('outlived it')"])
"""


@pytest.mark.parametrize("before", ["", "time.sleep(2); "], ids=["at work", "killed before the first job"])
def test_a_worker_ends_when_its_parent_is_killed(root, before):
    env = os.environ | {"PYTHONPATH": str(root)}
    code = PARENT.replace("{before}", f"print('on', flush=True); {before}")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=env) as parent:
        assert parent.stdout.readline() == b"on\n"
        parent.send_signal(signal.SIGKILL)
        assert parent.stdout.read() == b""  # its end: no process holds the pipe any more
        assert parent.wait(30) == -signal.SIGKILL
