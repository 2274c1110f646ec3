"""Regular expressions as llama.cpp's own grammars (GBNF), which every build of its server takes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

# One piece of the expressions that `opal.llm.rows.constrain` writes: a class, a count, an escape, or a character.
_PIECE = re.compile(r"\[(?:\\.|[^\]\\])+\]|\{\d+(?:,\d*)?\}|\\.|.", re.DOTALL)
_CLASSES = {r"\d": "[0-9]", r"\w": "[a-zA-Z0-9_]", r"\s": r"[ \t\n]"}
_CONTROL = {r"\n": "\n", r"\t": "\t", r"\r": "\r"}


def gbnf(regex: str) -> str:
    """A grammar with the one rule ``root``, equal to ``regex``.

    Source: grammars/README.md of llama.cpp. Groups, alternatives, classes and counts are written alike in both.

    Parameters
    ----------
    regex : without anchors, look-arounds and back references
    """
    return f"root ::= {' '.join(_pieces(regex))}\n"


def _pieces(regex: str) -> Iterator[str]:
    text = ""  # characters that may stand in one pair of quotes
    for piece in _PIECE.findall(regex):
        character = _CONTROL.get(piece, piece[-1])
        if piece in _CLASSES or piece[0] == "[" or piece in ("(", ")", "|", "."):
            yield from _quoted(text)
            text = ""
            yield _CLASSES.get(piece, piece)
        elif piece in ("?", "*", "+") or (piece[0] == "{" and len(piece) > 1):
            if text:  # the count is of the last character alone
                yield from _quoted(text[:-1])
                yield from _quoted(text[-1])
                text = ""
            yield piece
        else:
            text += character
    yield from _quoted(text)


def _quoted(text: str) -> Iterator[str]:
    if text:
        yield json.dumps(text, ensure_ascii=False)
