"""A process of joblib ends when the process that started it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

PARENT = """
import subprocess, sys
child = "import time; from opal.sweep.orphans import end_with_parent; end_with_parent(); print('on', flush=True); "
subprocess.run([sys.executable, "-c", child + "time.sleep(60)"])
"""


def test_a_worker_ends_when_its_parent_is_killed(root):
    env = os.environ | {"PYTHONPATH": str(root)}
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, env=env) as parent:
        assert parent.stdout.readline() == b"on\n"
        parent.send_signal(signal.SIGKILL)
        assert parent.stdout.read() == b""  # its end: no process holds the pipe any more, long before the 60 s
        assert parent.wait(30) == -signal.SIGKILL
