"""A composed configuration as plain values: what everything below the verbs receives."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from opal.config.addresses import with_public_names
from opal.errors import ConfigError


def as_typed(overrides: Any) -> list[str]:
    """Hydra's list of overrides as they were typed, interpolations unresolved."""
    from omegaconf import OmegaConf

    return OmegaConf.to_container(overrides, resolve=False)  # type: ignore[return-value]


def resolved(config: Any, *sections: str) -> dict[str, Any]:
    """Plain dicts and lists: interpolations replaced by their values, addresses by public names.

    Parameters
    ----------
    sections : the only ones that are wanted; none for all

    Raises
    ------
    ConfigError : an interpolation names nothing
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    def plain(node: Any) -> Any:
        return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node

    try:
        parts = {name: plain(config[name]) for name in sections} if sections else plain(config)
    except OmegaConfBaseException as fault:
        raise ConfigError(f"the configuration cannot be resolved: {str(fault).splitlines()[0]}") from fault
    return with_public_names(parts)


def as_yaml(config: Mapping[str, Any]) -> str:
    """A resolved configuration as YAML; interpolations in it are text.

    OmegaConf reads it back equal, and writes the same, in ten times the time: it copies every value, and PyYAML's
    classes in Python write them.
    """
    import yaml

    class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: Any, data: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", data, style="'" if _is_no_text(data) else None)

    Dumper.add_representer(str, text)
    return str(yaml.dump(config, Dumper=Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False))


def _is_no_text(data: str) -> bool:
    """Whether OmegaConf would read the text as a number or as true or false."""
    try:
        float(data)
    except ValueError:
        return data.lower() in ("y", "yes", "n", "no", "true", "false", "on", "off")
    return True


def literal(node: Any) -> Any:
    """A copy of a resolved configuration in which OmegaConf sees no interpolation: ``${`` is text there."""
    if isinstance(node, Mapping):
        return {key: literal(value) for key, value in node.items()}
    if isinstance(node, list):
        return [literal(value) for value in node]
    if isinstance(node, str) and "${" in node:
        return re.sub(r"(\\*)\$\{", r"\1\1\\${", node)
    return node
