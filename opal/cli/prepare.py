"""What is filled into a composed configuration before anything is built, and looked at: files, the budget's scope."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from opal.config.resolve import as_typed
from opal.config.validation import NO_VALUE
from opal.data import paper_files
from opal.data.content import check_file, columns_of, no_target
from opal.errors import ConfigError


def limit_budget(config: DictConfig, scope: str) -> None:
    """Give a budget without a scope the scope ``scope``: this sweep, or this run alone."""
    budget = OmegaConf.select(config, "llm.budget")
    if isinstance(budget, DictConfig) and budget.get("scope") is None:
        budget.scope = scope


def typed() -> list[str]:
    """The overrides of this job as they were typed."""
    return as_typed(HydraConfig.get().overrides.task)


def fetch_paper(config: DictConfig, choices: Mapping[str, str]) -> None:
    """Fetch the study's files that ``paper.rows`` asks for, and set ``paper.folder`` to them.

    Raises
    ------
    ConfigError : both are given, or the study has no such files
    DataError : they cannot be fetched, or are not the published ones
    """
    paper = OmegaConf.select(config, "paper")
    if paper is None or paper.get("rows") is None:
        return
    if paper.folder is not None:
        raise ConfigError(f"paper.rows={paper.rows} and paper.folder={paper.folder} exclude each other: give one")
    folder = paper_files.fetch(choices["task"], choices["data"], str(paper.rows), str(paper.url), paper.cache_dir)
    paper.folder = str(folder)


def find_table(config: Mapping[str, Any]) -> None:
    """Tell what is wrong with ``data.path`` or ``data.target`` of ``data=csv`` before what reads it is imported.

    Parameters
    ----------
    config : resolved

    Raises
    ------
    DataError : ``data.path`` is mistyped, or the file has no header that can be read
    ConfigError : ``data.target`` is not set
    """
    data = config.get("data")
    if not isinstance(data, Mapping) or data.get("_target_") != "opal.data.load_csv":
        return
    if data.get("path") in (None, "", NO_VALUE):
        return
    check_file(path := Path(str(data["path"])).expanduser().resolve())
    as_text = (data.get("separator"), data.get("encoding"))
    if data.get("target") is not None or not all(isinstance(part, str | None) for part in as_text):
        return
    if names := columns_of(path, *as_text):
        raise no_target(names)
