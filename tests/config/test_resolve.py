"""A configuration on its way to a record and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from opal.config.build import compose
from opal.config.resolve import as_yaml, literal

NUMBERLIKE = [
    "1e5",
    "1_000",
    ".5",
    "0x1f",
    "012",
    "nan",
    ".inf",
    "12:30:45",
    "2020-01-01",
    "~",
    "Null",
    "Off",
    "y",
    "=",
]
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"], include_characters="\n\t"), max_size=120)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT | st.sampled_from(NUMBERLIKE)
NODES = st.recursive(SCALARS, lambda node: st.lists(node, max_size=3) | st.dictionaries(TEXT, node, max_size=3))


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), NODES, min_size=1))
def test_what_is_written_is_read_back_equal(config):
    assert OmegaConf.to_container(OmegaConf.create(as_yaml(config))) == config


@pytest.mark.parametrize("method", ["smote", "llm", "ctgan"])
def test_it_is_written_as_omegaconf_writes_it(method):
    config = compose(f"method={method}") | {"texts": ["off", "1e5", "a ${seeds}", "ü: #", "two\nlines", ""]}
    assert as_yaml(config) == OmegaConf.to_yaml(OmegaConf.create(literal(config)), resolve=True)


def test_values_that_are_one_object_are_written_twice():
    same = ["x"]
    assert as_yaml({"a": same, "b": same}) == "a:\n- x\nb:\n- x\n"
