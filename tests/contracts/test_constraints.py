"""constraints.txt names an exact version of every package that scripts/install brings."""

from __future__ import annotations

import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version


def pinned(root) -> dict[str, str]:
    lines = (root / "constraints.txt").read_text().splitlines()
    return {canonicalize_name(n): v for n, _, v in (x.partition("==") for x in lines if not x.startswith("#"))}


def test_every_requirement_has_a_version_that_it_allows(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(r for e in ("local", "test") for r in project["optional-dependencies"][e])]
    versions = pinned(root)
    for requirement in map(Requirement, wanted):
        name = canonicalize_name(requirement.name)
        assert name in versions, f"{requirement.name} is not in constraints.txt: run scripts/constraints"
        assert Version(versions[name]) in requirement.specifier, f"{requirement} excludes {versions[name]}"


def test_it_names_no_file_and_not_the_project(root):
    text = (root / "constraints.txt").read_text()
    assert not re.search(r"file:|@|^opal\b", text, re.MULTILINE)
    assert len(pinned(root)) > 50
