"""What an endpoint's model refuses, renames or needs: learned from its own words once, remembered, told in one line.

Reasoning models take ``max_completion_tokens`` in place of ``max_tokens`` and no temperature, and their reasoning uses
up a short limit; others refuse a seed or a schema. A 400 names the field (``error.param``, ``error.code``), so that
the request can be sent again without it.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from opal.llm.api.cache import write_json
from opal.llm.api.capabilities import Capabilities
from opal.llm.api.dialects import refuted_by, renamed_to, schema_fields, schema_of
from opal.llm.api.fault import Fault
from opal.llm.api.responses import NAMES
from opal.llm.api.schema import refused_keywords, without

VERSION = 1  # of what is remembered: raise it when lessons of older versions mislead
MOST_LESSONS = 8  # of one request
LIMITS = ("max_completion_tokens", "max_tokens")
NEEDED = ("model", "messages", "prompt")
# In codes and texts of errors about a field that the model does not take, rather than a value out of range.
UNSUPPORTED = re.compile(
    r"literal_error|unsupported|not support|unknown[ _]parameter|unrecogni[sz]ed|unexpected|extra inputs|not permitted"
    r"|not allowed|does not (take|accept)|unknown (name|field|argument)",
    re.IGNORECASE,
)
log = logging.getLogger("opal")


@dataclass
class Adaptation:
    """How requests to one endpoint and model are changed before they are sent.

    Parameters
    ----------
    name : of endpoint and model, for messages
    path : where it is remembered
    headroom : tokens for reasoning, added to the limit of an answer once the model is known to reason
    renamed : fields that have another name there; dropped : fields not sent
    refuted : names of Capabilities that the endpoint does not have after all
    keywords : of JSON schemas, not sent
    reasons : whether the model reasons before it answers
    """

    name: str
    path: Path
    headroom: int = 0
    renamed: dict[str, str] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)
    refuted: set[str] = field(default_factory=set)
    keywords: set[str] = field(default_factory=set)
    reasons: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        with suppress(OSError, ValueError, KeyError, TypeError):
            known = json.loads(self.path.read_text(encoding="utf-8"))
            if known["version"] == VERSION:
                self.renamed, self.reasons = dict(known["renamed"]), bool(known["reasons"])
                self.dropped, self.refuted = set(known["dropped"]), set(known["refuted"])
                self.keywords = set(known.get("keywords", ()))

    @property
    def known(self) -> bool:
        """Whether the model has been asked before, by this process or another."""
        return self.path.is_file()

    def fit(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """``body`` as this model takes it."""
        fitted = {self.renamed.get(name, name): value for name, value in body.items() if name not in self.dropped}
        if self.keywords and (schema := schema_of(fitted)) is not None:
            fitted |= schema_fields(without(schema, self.keywords))
        if extra := self.extra(fitted):
            limit = next(name for name in LIMITS if name in fitted)
            fitted[limit] += extra
        return fitted

    def extra(self, body: Mapping[str, Any]) -> int:
        """Tokens that are added to the limit of ``body`` for reasoning."""
        off = body.get("reasoning_effort") == "none" and "reasoning_effort" not in self.dropped
        limited = any(isinstance(body.get(name), int) for name in LIMITS)
        return self.headroom if self.reasons and limited and not off else 0

    def limit(self, can: Capabilities) -> Capabilities:
        """``can`` without what was refuted."""
        lacking: dict[str, Any] = {name: None if name == "grammar" else False for name in self.refuted}
        return replace(can, **lacking)

    def learn(self, fault: Fault, sent: Mapping[str, Any], probing: bool = False) -> bool:
        """Learn from a refusal of ``sent``; whether another attempt makes sense.

        Parameters
        ----------
        probing : a capability is asked for, so that its refusal is the answer
        """
        if fault.status not in (400, 422) or not UNSUPPORTED.search(f"{fault.code} {fault.detail}"):
            return False
        name = self._blamed(fault, sent)
        if name in (None, "response_format") and self._learn_keywords(fault, sent):
            return True
        if name is None:
            return False
        original = next((old for old, new in self.renamed.items() if new == name), name)
        with self._lock:
            if capability := refuted_by(original, sent):
                if probing or capability in self.refuted:
                    return False
                self.refuted.add(capability)
                self._tell(f"does not take {name}: sent without it")
            elif other := renamed_to(name, fault.detail):
                if name in self.renamed:
                    return True  # another thread was first
                self.renamed[name] = other
                self.reasons = self.reasons or other == LIMITS[0]
                self._tell(f"takes {other} in place of {name}")
            elif original not in self.dropped:
                self.dropped.add(original)
                self._tell(f"does not take {name}: sent without it")
        return True

    def _learn_keywords(self, fault: Fault, sent: Mapping[str, Any]) -> bool:
        """Learn which keywords of a schema are refused; whether the error names any."""
        schema = schema_of(sent)
        refused = refused_keywords(fault.detail, schema) if schema else set()
        with self._lock:
            if not refused <= self.keywords:  # else another thread was first
                self.keywords |= refused
                self._tell(f"does not take {' and '.join(sorted(refused))} in a schema: sent without them")
        return bool(refused)

    def learn_from_answer(self, sent: Mapping[str, Any]) -> None:
        """Learn that the model reasons: its answer to ``sent`` holds no text, as reasoning used up the limit."""
        with self._lock:
            if not self.reasons and self.headroom and any(name in sent for name in LIMITS):
                self.reasons = True
                self._tell(f"reasons before it answers: {self.headroom:,} more tokens for that (llm.reasoning.tokens)")

    def _blamed(self, fault: Fault, sent: Mapping[str, Any]) -> str | None:
        """The field of ``sent`` that the endpoint does not take, by ``error.param`` or its words."""
        named = fault.param.partition(".")[0].partition("[")[0]
        named = NAMES.get(named, named)
        advised = renamed_to("", fault.detail)  # sent already where this was learned while a batch waited
        fields = [name for name in sent if name not in (*NEEDED, advised)]
        if named in fields:
            return named
        mentioned = [name for name in fields if re.search(rf"(?<![\w.]){re.escape(name)}(?![\w])", fault.detail)]
        return max(mentioned, key=len, default=None)

    def _tell(self, what: str) -> None:
        log.info("opal: %s %s", self.name, what)
        self.remember()

    def remember(self) -> None:
        """Keep the lessons for later processes."""
        record = {
            "version": VERSION,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "name": self.name,
            "renamed": self.renamed,
            "dropped": sorted(self.dropped),
            "refuted": sorted(self.refuted),
            "keywords": sorted(self.keywords),
            "reasons": self.reasons,
        }
        with suppress(OSError):  # remembering only saves a refused call
            write_json(self.path, record)
