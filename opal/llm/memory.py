"""Has a language model memorized the real table? It sees the first rows and is asked for the next ones, verbatim.

The header test of Bordt, Nori, Rodrigues, Nushi and Caruana, "Elephants Never Forget: Memorization and Learning of
Tabular Data in Large Language Models" (arXiv 2404.06209), with a chance level: as many other rows of the table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from opal.errors import LLMError
from opal.llm.api.budget import count_tokens
from opal.llm.api.messages import Request, Response
from opal.llm.rows import write
from opal.llm.rows.parse import Parser
from opal.llm.rows.quota import Client
from opal.result import Usage
from opal.table import Column, Schema

SHOWN, ASKED = 20, 20  # rows
MOST_CHARACTERS = 2500  # of either
ALPHA = 0.01  # as the contamination check

SYSTEM = "You know public data files by heart and continue them word for word. You answer with lines of the file only."
USER = """These are the first lines of a CSV file:

{shown}

Write the next {n} lines of this file, exactly as they stand there."""


@dataclass(frozen=True)
class Memory:
    """What the model recalled.

    Parameters
    ----------
    rows : one per row asked for: ``row`` (its place in the table), ``line``, ``recalled``, ``answer`` (the line at
        that place of the answer)
    recalled : rows that stand anywhere in the answer, equal in every column
    chance : rows expected by chance, were the answer as many other rows of the table
    p : probability of at least as many by chance
    """

    rows: pd.DataFrame = field(repr=False)
    recalled: int
    chance: float
    p: float
    usage: Usage
    prompts: list[dict[str, Any]] = field(repr=False)

    @property
    def known(self) -> bool:
        """Whether the model recalled more than chance gives."""
        return self.recalled > self.chance and self.p < ALPHA

    @property
    def sentence(self) -> str:
        """The finding in words and numbers."""
        text = (
            f"Asked to continue the table's first rows, the model recalled {self.recalled} of the next {len(self.rows)}"
        )
        text += f"; by chance about {self.chance:.2g}, p = {self.p:.2g}"
        if self.known:
            return f"{text}: it knows this table. method.obfuscate=true shows it a disguised one."
        return f"{text}: no sign that it knows this table (no proof that it does not)."

    @property
    def metrics(self) -> dict[str, float]:
        """``contamination/recall...``, and what the question cost."""
        n = len(self.rows)
        found = {"recall": self.recalled / n, "recall_chance": self.chance / n, "recall_p": self.p}
        tokens = self.usage.prompt_tokens + self.usage.completion_tokens
        return {f"contamination/{k}": v for k, v in found.items()} | {
            "llm/memory_tokens": tokens,
            "paid/memory_tokens": self.usage.paid_tokens,
        }


def recall(client: Client, frame: pd.DataFrame, schema: Schema) -> Memory:
    """Ask once, at temperature 0, for the rows that follow the first ones of ``frame``.

    Raises
    ------
    LLMError : no answer, or a table of fewer than eight rows
    """
    lines = write.lines(frame, schema.columns, "csv")
    shown = _fitting(lines[: min(SHOWN, len(lines) // 4)])
    asked = _fitting(lines[len(shown) : len(shown) + ASKED])
    if len(lines) < 8:
        raise LLMError(f"a table of {len(lines)} rows is too small to tell whether the model knows it")
    (response,) = client.complete([_request(client, [write.header(schema.columns), *shown], asked)])
    if not response.texts:
        raise LLMError("; ".join(response.finish) or "no answer")
    answer = _answer(response, schema.columns)[: len(asked)]
    rest = Counter(lines[len(shown) + len(asked) :])
    odds = np.array([_found_by_chance(rest[line], rest.total(), len(set(answer))) for line in asked])
    recalled = [line in set(answer) for line in asked]
    rows = pd.DataFrame(
        {
            "row": frame.index[len(shown) : len(shown) + len(asked)],
            "line": asked,
            "recalled": recalled,
            "answer": [*answer, *[""] * (len(asked) - len(answer))],
        }
    )
    p = float(_sum_of(odds)[sum(recalled) :].sum())
    return Memory(rows, sum(recalled), float(odds.sum()), min(1.0, p), response.usage, [response.record()])


def _fitting(lines: Sequence[str]) -> list[str]:
    """As many lines as fit together, at least one."""
    lengths = np.cumsum([len(line) for line in lines])
    return list(lines[: max(1, int((lengths <= MOST_CHARACTERS).sum()))])


def _request(client: Client, shown: Sequence[str], asked: Sequence[str]) -> Request:
    sampling = dict(client.sampling) | {"seed": 0}
    if "temperature" in sampling:  # some models take none
        sampling["temperature"] = 0
    if "max_completion_tokens" not in sampling:
        longest = max(map(count_tokens, [*shown[1:], *asked]))
        sampling["max_tokens"] = (longest + 1) * len(asked)
    text = "\n".join(shown)
    if client.api == "completion":
        return Request(client.identity(), prompt=text + "\n", sampling=sampling)
    user = {"role": "user", "content": USER.format(shown=text, n=len(asked))}
    return Request(client.identity(), messages=({"role": "system", "content": SYSTEM}, user), sampling=sampling)


def _answer(response: Response, columns: Sequence[Column]) -> list[str]:
    """The rows of the answer as the table would write them."""
    found = Parser(columns, "csv", check_range=False).parse(response.texts[0], response.finish[0])
    rows = [f.values for f in found if f.values is not None]
    return [write.csv_line([write.cell(row[c.name], c, "csv") for c in columns]) for row in rows]


def _found_by_chance(equal: int, rest: int, drawn: int) -> float:
    """P(one of ``equal`` rows is among ``drawn`` out of ``rest``): hypergeometric."""
    from scipy.stats import hypergeom

    return float(hypergeom.sf(0, rest, equal, min(drawn, rest))) if rest else 0.0


def _sum_of(odds: np.ndarray) -> np.ndarray:
    """Distribution of the number of successes (Poisson binomial, the rows taken as independent)."""
    total = np.ones(1)
    for chance in odds:
        total = np.convolve(total, [1 - chance, chance])
    return total
