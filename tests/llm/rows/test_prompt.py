"""What a request shows: which rows, in which words, with what left out."""

from __future__ import annotations

import numpy as np
import pytest
from scripted import load, train_of
from tables import mixed_table, number_table

from opal.errors import ConfigError
from opal.llm.rows.constrain import limits
from opal.llm.rows.prompt import Prompt
from opal.table import Train


@pytest.fixture
def train():
    return train_of(number_table(), 1)


def rendered(prompt, train, api="chat", draw=0):
    group = train.minority_groups[0]
    shown, _ = prompt.layout(limits(train.schema, group, 0.1), group)
    examples = prompt.choose(train, group, draw, np.random.default_rng(draw))
    messages, text = prompt.render(api, shown, examples, group.target, group.name)
    return text if messages is None else "\n".join(m["content"] for m in messages)


def test_csv_is_a_file_to_continue_without_the_label(root, train):
    text = rendered(load(root, "csv", examples_per_request=50), train, "completion")
    first, *rest = text.splitlines()
    assert first == "x1,x2,count,flag" and text.endswith("\n") and not text.endswith("\n\n")
    assert len(rest) == len(train.rows(train.minority_groups[0]))


@pytest.mark.parametrize("api", ["chat", "completion"])
@pytest.mark.parametrize("name", ["csv", "paper", "expert"])
def test_every_prompt_speaks_to_both_kinds_of_model(root, train, name, api):
    text = rendered(load(root, name), train, api)
    row = train.rows(train.minority_groups[0]).iloc[0]
    assert f"{row['x1']:.1f}" in text and "x2" in text
    others = train.frame[train.frame["label"] == 0]
    assert not any(f"{a:.1f},{b:.1f}," in text for a, b in zip(others["x1"], others["x2"], strict=True))


def test_paper_has_the_published_structure(root, train):
    prompt = load(root, "paper")
    assert (prompt.temperature, prompt.rows_per_request, prompt.examples_per_request) == (0.6, 20, 20)
    text = rendered(prompt, train)
    assert "statistician" in text and "x1 is " in text and "Copy none" in text


def test_expert_tells_what_columns_mean(root):
    table = mixed_table()
    described = {"income": "monthly income in pounds", "age": 'years; say "hello"'}
    schema = table.schema.infer(table.frame, "outcome", descriptions=described)
    train = train_of(type(table)("t", table.frame, schema, "yes"), "yes")
    text = rendered(load(root, "expert"), train)
    assert '"income": monthly income in pounds' in text and '"cook"' in text and "may be null" in text


@pytest.mark.parametrize("examples", ["random", "window", "balanced"])
def test_rows_of_other_groups_come_with_their_label_first(train, examples):
    prompt = Prompt(examples=examples, examples_per_request=10, user="{{ examples }}")
    rows = prompt.choose(train, train.minority_groups[0], 0, np.random.default_rng(0))
    assert len(rows) == 10 and rows["label"].nunique() == 2
    if examples == "balanced":
        assert rows["label"].value_counts().tolist() == [5, 5]
    assert all(line.startswith(("0,", "1,")) for line in rendered(prompt, train).splitlines())


def test_window_moves_on_and_wraps(train):
    prompt = Prompt(examples="window", examples_per_request=30, user="x")
    group = train.minority_groups[0]
    windows = [prompt.choose(train, group, d, np.random.default_rng(0)).index.tolist() for d in range(4)]
    assert windows[0] == list(range(30)) and windows[3] == [*range(90, 100), *range(20)]


def test_longer_rows_mean_fewer_rows(train):
    assert len(rendered(Prompt(user="{{ examples }}", max_characters=60), train).splitlines()) < 5


def test_cells_cannot_speak_template(train):
    frame = train.frame.assign(flag="{{ 7 * 7 }}{% raise %}")
    hostile = Train(frame, train.schema.infer(frame, "label"), train.groups, 1)
    text = rendered(Prompt(user="{{ examples }}"), hostile)
    assert "{{ 7 * 7 }}" in text and "49" not in text


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"serialization": "xml"}, "prompt.serialization='xml'"),
        ({"examples": "all"}, "prompt.examples='all'"),
        ({"examples": "random", "label": False}, "prompt.label=false"),
        ({"rows_per_request": 0}, "prompt.rows_per_request=0"),
    ],
)
def test_wrong_options_are_named(options, named):
    with pytest.raises(ConfigError, match="prompt") as caught:
        Prompt(**options)
    assert named in str(caught.value)


def test_template_mistakes_are_named(train):
    with pytest.raises(ConfigError, match=r"prompt\.user does not render.*colums"):
        rendered(Prompt(user="{{ colums }}"), train)
    with pytest.raises(ConfigError, match="chat model"):
        rendered(Prompt(completion="{{ examples }}"), train)
