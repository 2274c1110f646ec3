"""Time OPAL beside the study's own scripts: the whole imbalanced suite, and one run.

    python scripts/bench_study.py [--study DIR] [--quick]

DIR (or OPAL_STUDY_DIR) is a checkout of the study's repository; its scripts need statsmodels and matplotlib. They are
copied, and get as data/ the splits and rows of scripts/bench_suite.py, so that both fit the same rows 1,080 times. The
suite is one command of each, OPAL's with one worker. One run is CatBoost on gender, 30 fits; OPAL's is tracked in a new
store: the least of three, in turns. --quick leaves the suite out. Tables come from OPAL_DATA_DIR.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from bench_suite import CLASSIFIERS, SEEDS, TABLES, suite, timed, write_folders
from benchmark import Figure, finish, skip

POSTS = {"llm": "focus", "smote": "smote", "duplicate": "duplicate"}  # the study's names of methods
SCRIPT = [sys.executable, "main/raw_pretrain_exp.py", "--data_name", "gender", "--classifier", "catBoost"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, default=os.environ.get("OPAL_STUDY_DIR"))
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    if not os.environ.get("OPAL_DATA_DIR"):
        skip("OPAL_DATA_DIR does not name the folder of the study's tables")
    if given.study is None:
        skip("neither --study nor OPAL_STUDY_DIR names a checkout of the study's repository")
    os.environ["MPLBACKEND"] = "agg"
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        theirs = prepared(root, given.study)
        figures = one_run(root, theirs)
        return finish(*figures, *([] if given.quick else whole(root, theirs)))


def prepared(root: Path, checkout: Path) -> Path:
    """A folder with the study's scripts and OPAL's splits and rows in the study's places."""
    here = root / "study"
    shutil.copytree(checkout / "main", here / "main", ignore=shutil.ignore_patterns("results", "__pycache__"))
    (here / "main" / "results").mkdir()
    for table in TABLES:
        write_folders(root / "rows", table, list(SEEDS), None)
        name = {"diabetes": "openmlDiabetes"}.get(table, table)
        for method, post in POSTS.items():
            files = root / "rows" / table / method
            [size] = {re.findall(r"_size(\d+)_", path.name)[0] for path in files.glob("train_colsbase_*")}
            shutil.copytree(files, here / "data" / name / f"{name}_see_small_raw{size}_imbalanced_{post}")
    return here


def one_run(root: Path, theirs: Path) -> list[Figure]:
    """Seconds that a first tracked run takes more than the script."""
    ours = [sys.executable, "-m", "opal.run", "experiment=paper_imbalanced", "classifier=paper_catboost", "data=gender"]
    ours.append(f"paper.folder={root}/rows/gender/duplicate")
    script, run = [], []
    for turn in range(3):
        script.append(timed([*SCRIPT, "--current_post", "post_imbalanced_duplicate"], theirs).wall)
        store = root / f"store_{turn}"
        store.mkdir()
        run.append(timed(ours, store).wall)
    print(f"one run: OPAL {run}, the script {script} s wall", flush=True)
    note = f"{min(run):.1f} and {min(script):.1f} s"
    return [Figure("a first tracked run: seconds more than the study's script", min(run) - min(script), 1.0, note=note)]


def whole(root: Path, theirs: Path) -> list[Figure]:
    """The suite, one worker, beside the scripts."""
    script = timed([*SCRIPT, "--current_post", "all"], theirs)
    print(f"the study's scripts: {script}", flush=True)
    ours, _ = suite(root, TABLES, CLASSIFIERS, SEEDS, 1)
    print(f"OPAL's suite: {ours}", flush=True)
    note = f"{ours.wall:.0f} and {script.wall:.0f} s; {ours.peak:.0f} and {script.peak:.0f} MB"
    return [
        Figure("published suite beside the study's scripts: wall", ours.wall / script.wall, 1.0, note=note),
        Figure("published suite beside the study's scripts: CPU", ours.cpu / script.cpu),
    ]


if __name__ == "__main__":
    sys.exit(main())
