"""Keywords of JSON schemas that some endpoints refuse: which one an error names, and a schema without them.

OpenAI and Gemini take limits of numbers and of arrays; Azure and Anthropic refuse some of them; llama.cpp, and so
Ollama, holds whole numbers to theirs and ignores those of others (guides to structured outputs, November 2026).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

PAIRS = (("minimum", "maximum"), ("minItems", "maxItems"))  # an endpoint that refuses one refuses both
_PLACE = re.compile(r"context=\([^)]*\)")  # OpenAI's, with names of columns in it


def refused_keywords(detail: str, schema: Mapping[str, Any]) -> set[str]:
    """The keywords used in ``schema`` that an error names, and those that go with them."""
    said = _PLACE.sub("", detail)
    named = {pair for pair in PAIRS if any(re.search(rf"(?<!\w){word}(?!\w)", said) for word in pair)}
    return {word for pair in named for word in pair} & set(_used(schema))


def without(schema: Mapping[str, Any], keywords: set[str]) -> dict[str, Any]:
    """``schema`` without ``keywords``; properties may have names like theirs."""
    kept = {key: value for key, value in schema.items() if key not in keywords}
    if "properties" in kept:
        kept["properties"] = {name: without(inner, keywords) for name, inner in kept["properties"].items()}
    if "items" in kept:
        kept["items"] = without(kept["items"], keywords)
    return kept


def _used(schema: Mapping[str, Any]) -> Iterator[str]:
    yield from schema
    for inner in (*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])):
        yield from _used(inner)
