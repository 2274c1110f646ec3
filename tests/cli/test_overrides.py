"""What a shell passes on reaches Hydra as the text that was meant."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from opal.cli import launch
from opal.cli.overrides import free_names, quoted


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("data.target=gekündigt", "gekündigt"),
        ("data.target=标签", "标签"),
        ("data.minority=>50K", ">50K"),
        ("data.minority=<=50K", "<=50K"),
        ("data.path=my rows (1).csv", "my rows (1).csv"),
        ("data.path=C:\\rows & more\\a#1.csv", "C:\\rows & more\\a#1.csv"),
        ("data.drop=[Umsatz €, Alter]", ["Umsatz €", "Alter"]),
        ("method.path=a/rows_{seed}.csv", "a/rows_{seed}.csv"),
        ("method.path='a {seed}.csv'", "a {seed}.csv"),
        ("amounts={steps: 1}", {"steps": 1}),
        ("seeds=[1,2]", [1, 2]),
        ("n_jobs=-1", -1),
        ("llm.base_url=http://host:80/v1", "http://host:80/v1"),
        ("data.minority=", ""),
    ],
)
def test_text_needs_no_quotes_of_hydras(typed, meant):
    value = OverridesParser.create().parse_override(quoted([typed])[0]).value()
    assert (list(value) if isinstance(value, list) else value) == meant


@pytest.mark.parametrize("typed", ["seeds=[1,2]", "n_jobs=range(1,5)", "a=${oc.env:HOME,é}", "-m", "x=choice(a,b)"])
def test_what_hydra_reads_as_meant_stays(typed):
    assert quoted([typed]) == [typed]


def test_a_sweep_still_parts_at_commas():
    (swept,) = OverridesParser.create().parse_overrides(quoted(["method.path=a_{seed}.csv,b_é.csv"]))
    assert [str(value) for value in swept.sweep_string_iterator()] == ["'a_{seed}.csv'", "'b_é.csv'"]


def test_sections_that_take_any_name_need_no_plus():
    assert free_names(["data.kinds.zip=categorical", "data.path=a"]) == ["++data.kinds.zip=categorical", "data.path=a"]
    assert free_names(["data.kinds={zip: integer}", "data.kinds=null"]) == [
        "++data.kinds={zip: integer}",
        "data.kinds=null",
    ]


def test_a_sweep_is_tried_with_one_job_an_option_and_a_key():
    jobs = [[f"method={method}", f"seeds=[{seed}]"] for method in ("none", "smote") for seed in range(50)]
    assert launch.one_for_all([*jobs, ["method=none", "amounts.max=3"]]) == [
        jobs[0],
        jobs[50],
        ["method=none", "amounts.max=3"],
    ]
