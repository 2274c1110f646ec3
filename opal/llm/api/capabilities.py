"""What an endpoint can do: probed once per endpoint and model, stored beside the answers, used for every request."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock

from opal.errors import ConfigError
from opal.llm.api.cache import write_json
from opal.llm.api.dialects import GRAMMARS, HARMLESS_GRAMMARS, regex_fields, text_of

_SCHEMA = {
    "type": "object",
    "properties": {"zq7": {"type": "integer"}},
    "required": ["zq7"],
    "additionalProperties": False,
}
VERSION = 2  # of the probe: what an older one found is asked for again
_REGEX = "(zq7|xk4)"  # what no model says of itself


@dataclass(frozen=True)
class Capabilities:
    """What an endpoint and model can do.

    Parameters
    ----------
    json_schema, json_object : ``response_format`` of that type
    grammar : how a regular expression is passed (one of GRAMMARS), or None
    seed : a seed is accepted and repeats an answer
    n : several answers per request
    prompt_cache : usage reports cached prompt tokens
    """

    json_schema: bool = False
    json_object: bool = False
    grammar: str | None = None
    seed: bool = False
    n: bool = False
    prompt_cache: bool = False

    def __post_init__(self) -> None:
        if self.grammar is not None and self.grammar not in GRAMMARS:
            raise ConfigError(f"llm.supports.grammar={self.grammar!r}; known: {', '.join(GRAMMARS)} or null")

    @classmethod
    def declared(cls, given: Mapping[str, Any]) -> Capabilities:
        """From ``llm.supports``."""
        names = [f.name for f in fields(cls)]
        if unknown := sorted(set(given) - set(names)):
            raise ConfigError(f"llm.supports.{unknown[0]} is unknown; known: {', '.join(names)}")
        for name, value in given.items():
            if name != "grammar" and not isinstance(value, bool):
                raise ConfigError(f"llm.supports.{name}={value} must be true or false")
        return cls(**given)


def probe(
    ask: Callable[[dict[str, Any]], dict[str, Any] | None], chat: bool, grammars: Sequence[str] = HARMLESS_GRAMMARS
) -> Capabilities:
    """Find out by asking, in about six calls of a few tokens each.

    Parameters
    ----------
    ask : sends body fields and returns the answer, or None if the endpoint refuses them
    grammars : those to try, of GRAMMARS; by default only those that cannot harm a server
    """
    text = "Say hello as JSON."
    base: dict[str, Any] = {"messages": [{"role": "user", "content": text}]} if chat else {"prompt": text}

    def texts(**extra: Any) -> list[str]:
        answer = ask(base | {"max_tokens": 24, "temperature": 0} | extra)
        return [text_of(c) for c in answer["choices"]] if answer else []

    form = {"name": "probe", "strict": True, "schema": _SCHEMA}
    schema = chat and any(
        _is_json(t, "zq7") for t in texts(response_format={"type": "json_schema", "json_schema": form})
    )
    as_object = chat and any(_is_json(t) for t in texts(response_format={"type": "json_object"}))

    def follows(grammar: str) -> bool:
        return any(re.fullmatch(_REGEX, text.strip()) for text in texts(**regex_fields(_REGEX, grammar)))

    grammar = next(filter(follows, grammars), None)
    seeded = [texts(seed=7, temperature=1.0, max_tokens=8) for _ in range(2)]
    answer = ask(base | {"max_tokens": 1, "n": 2}) or {"choices": []}
    return Capabilities(
        json_schema=schema,
        json_object=as_object,
        grammar=grammar,
        seed=any(t.strip() for t in seeded[0]) and seeded[0] == seeded[1],
        n=len(answer["choices"]) == 2,
        prompt_cache=bool((answer.get("usage") or {}).get("prompt_tokens_details")),
    )


def remembered(folder: Path, endpoint: str, model: str, chat: bool, find: Callable[[], Capabilities]) -> Capabilities:
    """The capabilities kept in ``folder`` for this endpoint and model, or ``find()`` once, kept for next time."""
    address = urlsplit(endpoint)
    asked = {"endpoint": f"{address.scheme}://{address.hostname}:{address.port}{address.path}", "model": model}
    asked["api"] = "chat" if chat else "completion"
    path = folder / f"{hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]}.json"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        try:
            known = json.loads(path.read_text())
            if known.get("version") == VERSION:
                return Capabilities.declared(known["capabilities"])
        except (FileNotFoundError, ValueError, KeyError, ConfigError):
            pass
        found = find()
        write_json(
            path, asked | {"version": VERSION, "created": datetime.now(UTC).isoformat(), "capabilities": asdict(found)}
        )
        return found


def _is_json(text: str, field: str | None = None) -> bool:
    try:
        value = json.loads(text)
    except ValueError:
        return False
    return isinstance(value, dict) and (field is None or field in value)
