"""The study's report is what its script makes of its data."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pandas as pd
import pytest
import yaml


@pytest.fixture(scope="module")
def study(root):
    return root / "studies" / "oversampling"


@pytest.fixture(scope="module")
def made(study, root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    environment = os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{study}"}
    subprocess.run([sys.executable, study / "report.py", "--output", folder], env=environment, check=True)
    return folder


@pytest.mark.slow
def test_every_figure_of_the_report_comes_from_the_data(study, made):
    assert (made / "report.md").read_text() == (study / "report.md").read_text()


@pytest.mark.slow
def test_the_page_holds_its_pictures(made):
    page = (made / "report.html").read_text()
    assert len(re.findall(r'src="data:image/png;base64,', page)) == len(list(made.glob("*.png"))) == 5
    assert 'src="gain.png"' not in page


def test_every_table_of_the_study_is_described_and_measured(study):
    described = set(pd.read_csv(study / "tables.csv")["table"])
    options = [yaml.safe_load(path.read_text()) for path in (study / "conf" / "data").glob("*.yaml")]
    assert len(described) == len(options) >= 24
    assert set(pd.read_parquet(study / "results.parquet")["table"]) <= described


def test_the_readme_shows_the_studys_sentence(study, root):
    sentence = re.search(r"\*\*In one sentence\.\*\* (.+)", (study / "report.md").read_text())
    assert sentence and " ".join(sentence[1].split()) in " ".join((root / "README.md").read_text().split())
