"""What is filled into a composed configuration before anything is built, and looked at: files, the budget's scope."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from opal.data import paper_files
from opal.data.file_check import check_file
from opal.errors import ConfigError


def limit_budget(config: DictConfig, scope: str) -> None:
    """Give a budget without a scope the scope ``scope``: this sweep, or this run alone."""
    budget = OmegaConf.select(config, "llm.budget")
    if budget is not None and budget.get("scope") is None:
        budget.scope = scope


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


def find_table(config: DictConfig) -> None:
    """Raise DataError where ``data.path`` of ``data=csv`` is mistyped, before what reads it is imported."""
    data = OmegaConf.select(config, "data")
    if OmegaConf.is_dict(data) and data.get("_target_") == "opal.data.load_csv" and data.get("path"):
        check_file(Path(str(data.path)).expanduser().resolve())
