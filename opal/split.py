"""python -m opal.split: write the splits of a table as files, in the layout that paper.folder reads.

python -m opal.split data=gender output=splits                                     the table's own sizes
python -m opal.split data=csv data.path=t.csv data.target=y task.train_rows=80 task.minority_share=0.1 output=splits
python -m opal.split experiment=paper_spurious data=gender output=splits           the published splits
"""

from __future__ import annotations

from pathlib import Path

import hydra
from omegaconf import DictConfig

from opal.cli.launch import launch
from opal.config.build import CONF, instantiate
from opal.config.resolve import resolved
from opal.config.validation import check_path, check_top_level
from opal.table import Split, Table
from opal.tasks.published import file_names


def write_split(table: Table, split: Split, folder: Path) -> list[Path]:
    """Write ``train_...csv`` and ``test_...csv`` of one split; the names hold train rows, rest and seed."""
    names = file_names(str(folder), len(split.train.frame), len(split.test), len(table.frame))
    paths = [Path(name.replace("{seed}", str(split.seed))) for name in names]
    folder.mkdir(parents=True, exist_ok=True)
    for path, frame in zip(paths, (split.train.frame, split.test), strict=True):
        table.schema.written(frame).to_csv(path, index=False)
    return paths


@hydra.main(version_base="1.3", config_path=CONF, config_name="split")
def job(composed: DictConfig) -> None:
    """Write the splits of all seeds and print what they hold."""
    config = resolved(composed)
    check_top_level(config, "split")
    folder = check_path(config, "output", "a folder")
    table, task = instantiate(config, "data"), instantiate(config, "task")
    for seed in config["seeds"]:
        split = task.split(table, seed)
        paths = write_split(table, split, folder)
        counts = ", ".join(f"{g.name}: {int(g.mask(split.train.frame).sum())}" for g in split.train.groups)
        print(f"seed {seed}: {len(split.train.frame)} train rows ({counts}), {len(split.test)} test rows")
        print(*(f"  {path}" for path in paths), sep="\n")


def main() -> None:
    """Start the verb."""
    launch(job)


if __name__ == "__main__":
    main()
