"""Kinds of `scripts/bench_faults.py chaos` where more goes wrong than a kill: disk, clock, server."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from chaos_endpoint import Endpoint, Two
from chaos_kinds import ROOT, Kind, Sleep, Unable

sys.path.append(str(ROOT / "tests"))
DISK = 50_000_000  # bytes


class Disk(Endpoint):
    """Sweeps with the billing endpoint in a small file system, which another writer fills and frees."""

    life = 20.0

    @contextmanager
    def ready(self) -> Iterator[None]:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "opal-chaos", str(self.work)]
        try:
            done = subprocess.run(mount, capture_output=True, text=True, check=False)
        except OSError as fault:
            raise Unable(f"no mount: {fault}") from fault
        if done.returncode:
            raise Unable(f"mounting a tmpfs is not allowed: {done.stderr.strip()}")
        try:
            with super().ready():
                yield
        finally:
            subprocess.run(["umount", "--lazy", str(self.work)], check=True)

    def fault(self, sleep: Sleep) -> None:
        """Leave no room, or nearly none, for up to three seconds."""
        sleep(0, 6)
        filler = self.work / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            for _ in range(DISK // 2**16):
                file.write(bytes(2**16))
        sleep(0, 3)
        filler.unlink(missing_ok=True)


class TwoOnDisk(Two, Disk):
    """Two sweeps at once in the small file system: either may end on it."""

    ends = 2


class Clock(Kind):
    """Plain sweeps whose clock jumps (scripts/jumping_clock)."""

    life = 14.0

    def __init__(self, folder: Path, rng: random.Random) -> None:
        super().__init__(folder, rng)
        self.steady = self.env["PYTHONPATH"]

    @contextmanager
    def disturbed(self) -> Iterator[None]:
        self.env["PYTHONPATH"] = os.pathsep.join([str(ROOT / "scripts" / "jumping_clock"), self.steady])
        try:
            yield
        finally:
            self.env["PYTHONPATH"] = self.steady


class Server(Kind):
    """Plain sweeps logged to an MLflow server that is killed and started again."""

    options = (*Kind.options, "tracking=server")
    life = 25.0

    def __init__(self, folder: Path, rng: random.Random) -> None:
        import servers

        super().__init__(folder, rng)
        (folder / "server").mkdir()
        self.server: Any = servers.Server(folder / "server", f"sqlite:///{folder}/server/mlflow.db")
        self.env["MLFLOW_TRACKING_URI"] = self.server.uri
        self.restarts = 0

    @property
    def uri(self) -> str:
        return self.server.uri

    @contextmanager
    def ready(self) -> Iterator[None]:
        with self.server:
            yield

    def fault(self, sleep: Sleep) -> None:
        """Kill the server; start it again within six seconds."""
        sleep(0, 20)
        self.server.stop()
        sleep(0, 6)
        self.server.start()
        self.restarts += 1

    def told(self) -> str:
        return f"server killed {self.restarts}"


ALL = {"disk": Disk, "two_on_disk": TwoOnDisk, "clock": Clock, "server": Server}
