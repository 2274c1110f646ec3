"""Prompts: which rows a request shows, and the words around them (Jinja templates in ``conf/prompt/*.yaml``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import jinja2
import numpy as np
import pandas as pd
from jinja2.sandbox import ImmutableSandboxedEnvironment

from opal.config.validation import check_number
from opal.errors import ConfigError
from opal.llm.rows import write
from opal.llm.rows.write import Style
from opal.table import Column, Group, Train

Examples = Literal["minority_only", "random", "window", "balanced"]


@dataclass(frozen=True)
class Prompt:
    """How rows are asked for.

    Parameters
    ----------
    serialization : csv | text | json
    completion : Jinja template for base models, which continue it; empty: system, then user
    system, user : Jinja templates for chat models
    examples : rows shown. ``minority_only``: the group's; ``random``: any train rows; ``window``: consecutive
        train rows, moving on with each request; ``balanced``: as many of each group, in turn
    examples_per_request, rows_per_request : rows shown (at most), rows asked for
    label : whether the group's label (and attribute) stands in the rows; it must where other groups are shown.
        It comes first, as a model writes left to right
    shuffle : draw and order the rows again for each request; false keeps the whole prompt
        equal in all requests, for providers that bill a repeated prefix less
    temperature : overrides that of the model's settings; null leaves it
    max_characters : fewer rows are shown where they would exceed this

    Templates see ``columns``, ``header``, ``examples``, ``rows``, ``target``, ``group`` (``"gender = 0"``),
    ``form`` (what an answer looks like) and ``serialization``. What varies between requests comes last.
    """

    serialization: Style = "csv"
    completion: str = ""
    system: str = ""
    user: str = ""
    examples: Examples = "minority_only"
    examples_per_request: int = 20
    rows_per_request: int = 5
    label: bool = True
    shuffle: bool = True
    temperature: float | None = None
    max_characters: int = 2500

    def __post_init__(self) -> None:
        for key, options in (("serialization", Style), ("examples", Examples)):
            if getattr(self, key) not in get_args(options):
                raise ConfigError(
                    f"prompt.{key}={getattr(self, key)!r} is unknown; options: {', '.join(get_args(options))}"
                )
        check_number("prompt.temperature", self.temperature, null="")
        for key in ("examples_per_request", "rows_per_request", "max_characters"):
            if getattr(self, key) < 1:
                raise ConfigError(f"prompt.{key}={getattr(self, key)!r} must be at least 1")
        if self.examples != "minority_only" and not self.label:
            raise ConfigError(
                f"prompt.label=false hides the label, but prompt.examples={self.examples} shows rows of other "
                "groups; set prompt.label=true"
            )

    def layout(self, columns: Sequence[Column], group: Group) -> tuple[tuple[Column, ...], tuple[Column, ...]]:
        """Columns shown, in order, and columns left out: what the group fixes comes first or not at all."""
        fixed = [c for c in columns if c.name in (group.target, group.column) and len(c.levels) == 1]
        names = {c.name for c in fixed}
        others = [c for c in columns if c.name not in names]
        return (tuple(fixed + others), ()) if self.label else (tuple(others), tuple(fixed))

    def choose(self, train: Train, group: Group, draw: int, rng: np.random.Generator) -> pd.DataFrame:
        """The rows that request number ``draw`` shows, in the order shown."""
        count = self.examples_per_request
        if self.examples == "minority_only":
            rows = train.rows(group)
            return rows.iloc[rng.permutation(len(rows))[:count]]
        if self.examples == "random":
            return train.frame.iloc[rng.permutation(len(train.frame))[:count]]
        if self.examples == "window":
            start = draw * count if self.shuffle else 0
            places = (start + np.arange(min(count, len(train.frame)))) % len(train.frame)
            return train.frame.iloc[places]
        each = max(1, count // len(train.groups))
        shuffled = [rows.iloc[rng.permutation(len(rows))[:each]] for rows in map(train.rows, train.groups)]
        return pd.concat([f.iloc[[i]] for i in range(each) for f in shuffled if i < len(f)])

    def render(
        self, api: str, columns: Sequence[Column], examples: pd.DataFrame, target: str, group: str
    ) -> tuple[tuple[Mapping[str, str], ...] | None, str | None]:
        """(messages, None) for ``api="chat"``, (None, prompt) for ``"completion"``.

        Raises
        ------
        ConfigError : no template for this kind of model, or a template that does not render
        """
        shown = self._fitting(write.lines(examples, columns, self.serialization))
        facts = {
            "columns": columns,
            "header": write.header(columns) if self.serialization == "csv" else "",
            "examples": "\n".join(shown),
            "rows": self.rows_per_request,
            "target": target,
            "group": group,
            "form": self._form(columns),
            "serialization": self.serialization,
        }
        if api == "completion" and self.completion:
            return None, _render("completion", self.completion, facts)
        system, user = (_render(k, getattr(self, k), facts).strip() for k in ("system", "user"))
        if not user:
            raise ConfigError("this prompt has no prompt.user template, which a chat model needs; try prompt=paper")
        if api == "completion":
            return None, f"{system}\n\n{user}\n\n".lstrip()
        return tuple({"role": r, "content": t} for r, t in (("system", system), ("user", user)) if t), None

    def _fitting(self, lines: list[str]) -> list[str]:
        total, kept = 0, lines[:1]
        for text in lines[1:]:
            total += len(kept[-1])
            if total + len(text) > self.max_characters:
                break
            kept.append(text)
        return kept

    def _form(self, columns: Sequence[Column]) -> str:
        if self.serialization == "csv":
            return f"CSV lines with the columns {write.header(columns)}, without the header line"
        names = [write.name(c, self.serialization) for c in columns]
        if self.serialization == "text":
            return "one row a line: " + ", ".join(f"{n} is ..." for n in names) + "."
        return 'one JSON object {"rows": [{' + ", ".join(f"{n}: ..." for n in names) + "}, ...]}"


def bounded(train: Train, most: int) -> Train:
    """``train`` with at most ``most`` rows of each group, drawn by its seed; rows keep their order."""
    places = [np.flatnonzero(g.mask(train.frame)) for g in train.groups]
    if all(len(own) <= most for own in places):
        return train
    rng = np.random.default_rng([abs(train.seed), 3])  # 3: another stream than split, method and disguise
    kept = [own if len(own) <= most else rng.choice(own, most, replace=False) for own in places]
    return replace(train, frame=train.frame.iloc[np.sort(np.concatenate(kept))])


def _render(key: str, template: str, facts: Mapping[str, Any]) -> str:
    env = ImmutableSandboxedEnvironment(  # a template may come from a record: it is data, not code
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    env.filters["word"] = write.json_string
    try:
        return env.from_string(str(template)).render(**facts)
    except jinja2.TemplateError as error:
        raise ConfigError(f"prompt.{key} does not render: {error}; names: {', '.join(facts)}") from error
