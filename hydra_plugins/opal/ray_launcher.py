"""hydra/launcher=ray: the jobs of a sweep as tasks of a Ray, on this machine or on a cluster.

The published plugin (hydra-ray-launcher 1.2.2) asks for cloudpickle < 3, which today's joblib, and so scikit-learn,
does not run with.
"""

import os
import re
import socket
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, configure_log, filter_overrides, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from opal.errors import ConfigError
from opal.sweep.order import longest_first

QUIET: dict[str, Any] = {"logging_level": "warning"}


class RayLauncher(Launcher):
    """Runs every job as one Ray task; a job that fails, or loses its worker, leaves the others alone.

    Parameters
    ----------
    address : HOST:PORT of a running cluster (``auto``: the one that this machine belongs to), whose nodes have OPAL
        installed and share the working folder at the same path; None starts a Ray for this sweep, which listens on
        127.0.0.1 alone and ends with it
    workers : CPUs of a Ray started here; None for all
    cpus_per_job : CPUs that one job holds
    retries : how often a job whose worker or node died is run again; what it had finished is not done twice
    env : environment variables that jobs get from this process, where set
    """

    def __init__(
        self, address: str | None, workers: int | None, cpus_per_job: float, retries: int, env: Sequence[str]
    ) -> None:
        if find_spec("ray") is None:
            raise ConfigError('hydra/launcher=ray needs Ray: pip install "opal[ray]"')
        self.address, self.workers, self.cpus_per_job, self.retries = address, workers, cpus_per_job, retries
        self.env = {name: os.environ[name] for name in env if name in os.environ}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.task, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs and wait for all of them.

        Raises
        ------
        ConfigError : no cluster answers at ``address``
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_DEDUP_LOGS", "0")  # lines that two jobs share are told twice
        import ray

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        sweep_dir = Path(self.config.hydra.sweep.dir).absolute()
        sweep_dir.mkdir(parents=True, exist_ok=True)
        self._connect()
        try:
            same = ray.put((self.context, self.task, self.config, Singleton.get_state()))
            place = Path.cwd(), sweep_dir, list(sys.path), self.env
            task = ray.remote(num_cpus=self.cpus_per_job, max_retries=self.retries)(_job)
            jobs = {}
            for i in longest_first(job_overrides):
                named = task.options(name=" ".join(filter_overrides(job_overrides[i])))
                jobs[i] = named.remote(same, place, list(job_overrides[i]), initial_job_idx + i)
            told = enumerate(job_overrides)
            return [self._result(jobs[i], initial_job_idx + i, overrides) for i, overrides in told]
        finally:
            ray.shutdown()

    def _connect(self) -> None:
        import ray

        if self.address is None:
            ray.init(num_cpus=self.workers, _node_ip_address="127.0.0.1", include_dashboard=False, **QUIET)
            return
        host, _, port = self.address.rpartition(":")
        try:
            if host:  # Ray itself looks for a cluster that is not there for minutes
                socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
            ray.init(address=self.address, **QUIET)
        except (OSError, RuntimeError, ValueError) as fault:
            why = " ".join(str(fault).split())[:200] or type(fault).__name__
            raise ConfigError(
                f"hydra.launcher.address={self.address}: no Ray answers there ({why}): is `ray start` running there "
                "and on this machine, with the same token (docs/cluster.md)?"
            ) from fault

    def _result(self, job: Any, number: int, overrides: Sequence[str]) -> JobReturn:
        import ray

        from opal.sweep.lost_jobs import lost

        try:
            return ray.get(job)
        except ray.exceptions.RayTaskError as fault:  # before the trial: what that raises comes back in its JobReturn
            said = [line for line in str(fault).splitlines() if line.strip()]
            node = re.search(r"\bip=([^\s,)]+)", said[0])
            why = (
                f"node {node[1] if node else '?'} could not begin it: {said[-1].strip()[:300]} (every node needs OPAL "
                "installed, and the folder of the sweep at the same path)"
            )
        except ray.exceptions.RayError as fault:  # the worker died
            text = " ".join(str(fault).split())[:300]
            why = f"its worker died at each try, hydra.launcher.retries={self.retries} ({type(fault).__name__}: {text})"
        return lost(Path(self.config.hydra.sweep.dir), number, filter_overrides(overrides), why)


def _job(
    same: tuple[Any, ...], place: tuple[Path, Path, list[str], Mapping[str, str]], overrides: list[str], number: int
):
    """One job in a worker, in the launching process's folder, import path and environment."""
    context, task, config, singletons = same
    folder, sweep_dir, path, env = place
    os.environ.update(env)
    if not sweep_dir.is_dir():
        raise ConfigError(f"{sweep_dir} is not there")
    os.chdir(folder)
    sys.path += [entry for entry in path if entry not in sys.path]
    setup_globals()
    Singleton.set_state(singletons)
    config = context.config_loader.load_sweep_config(config, overrides)
    with open_dict(config):
        config.hydra.job.id, config.hydra.job.num = f"job_id_for_{number}", number
    return run_job(
        hydra_context=context,
        task_function=task,
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )
