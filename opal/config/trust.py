"""What a configuration that somebody else may have written is allowed to name.

A record, an export or a shared store is data: before anything of it is imported, each ``_target_`` must be one of
OPAL's public addresses, a name that OPAL's own YAML files use, or in a package that the user trusts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from opal.config.options import CONF
from opal.errors import ConfigError

FACES = ("opal.data", "opal.evaluate", "opal.llm", "opal.methods", "opal.record", "opal.tasks")
HERE = ("localhost", "127.0.0.1", "::1")


def check_trust(config: Mapping[str, Any], trusted: Sequence[str] = (), calls_model: bool = False) -> None:
    """Compare every ``_target_`` of a recorded configuration with what may be built; imports none of them.

    Parameters
    ----------
    config : plain values, old addresses replaced by the public ones
    trusted : packages, or hosts of models, that the user trusts as well
    calls_model : whether the recorded endpoint will be asked, with the key from the user's environment

    Raises
    ------
    ConfigError : a name outside; says where it stands and how to allow it
    """
    for place, node in _mappings(config):
        target: Any = node.get("_target_")
        if "_target_" in node and not _may_be_built(target, trusted):
            mend = "that is not an address"
            if _is_address(target):
                mend = f"--trust {target.partition('.')[0]} allows it, if you trust that code"
            raise ConfigError(f"the recorded {place}._target_={target} is not OPAL's: {mend}")
        if calls_model and (command := node.get("key_command")) and str(command).split()[0] not in trusted:
            name = str(command).split()[0]
            raise ConfigError(f"the recorded {place}.key_command={command} would be run: --trust {name} allows it")
        if calls_model and not _is_near(node.get("base_url"), trusted):
            address = node["base_url"]
            raise ConfigError(
                f"the recorded {place}.base_url={address} would receive your key: "
                f"--trust {urlsplit(str(address)).hostname} allows it"
            )


@cache
def public_addresses() -> frozenset[str]:
    """OPAL's public names, and every other name that its YAML files build."""
    named = {f"{face}.{name}" for face in FACES for name in import_module(face).__all__}
    for path in Path(CONF).rglob("*.yaml"):
        if "hydra" not in path.relative_to(CONF).parts:  # launchers and sweepers are no part of a trial
            named |= set(re.findall(r"_target_: ([A-Za-z_][\w.]*)", path.read_text(encoding="utf-8")))
    return frozenset(named - {"opal.sweep.Callback"})


def _may_be_built(target: Any, trusted: Sequence[str]) -> bool:
    if not _is_address(target):
        return False
    return target in public_addresses() or any(f"{target}.".startswith(f"{package}.") for package in trusted)


def _is_address(target: Any) -> bool:
    return isinstance(target, str) and re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", target) is not None


def _is_near(base_url: Any, trusted: Sequence[str]) -> bool:
    host = urlsplit(str(base_url)).hostname if base_url else None
    return not base_url or host in HERE or host in trusted


def _mappings(node: Any, place: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every mapping within, with its place as typed on the command line."""
    if isinstance(node, Mapping):
        yield place, node
        for key, value in node.items():
            yield from _mappings(value, f"{place}.{key}".lstrip("."))
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for i, part in enumerate(node):
            yield from _mappings(part, f"{place}.{i}")
