"""One call to an OpenAI-compatible endpoint: deadline, pace, retries.

The ``openai`` package is the only client, and is imported at the first call.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from opal.llm.api.budget import count_tokens
from opal.llm.api.dialects import recount, tokenize_url
from opal.llm.api.fault import Fault, fault_of
from opal.llm.api.pace import Pace
from opal.llm.api.responses import from_chat, to_chat
from opal.llm.api.wire import choices_of, read_answer

MAX_BODY = 64 * 2**20  # bytes; longer than any answer, but a broken server may send without end
MAX_BACKOFF = 30.0  # seconds
MAX_CONNECT = 10.0  # seconds
T = TypeVar("T")


@dataclass
class Endpoint:
    """An address, its key, and the limits of calls to it; see :class:`opal.llm.Client` for the fields."""

    base_url: str | None
    model: str
    api_key: str = field(repr=False)
    timeout: float
    retries: int
    backoff: float
    pace: Pace
    direct: bool = False  # on this machine: no proxy
    responses: bool = False  # asked by the Responses API
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    _api: Any = field(default=None, init=False, repr=False)
    answered: bool = field(default=False, init=False, repr=False)  # once, so that it is there
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @property
    def name(self) -> str:
        return self.base_url or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"

    @property
    def api(self) -> Any:
        """The ``openai`` client."""
        with self._lock:
            if self._api is None:
                import openai

                for name in ("openai", "httpx", "httpx2"):  # a line per call would drown the progress
                    if logging.getLogger(name).level == logging.NOTSET:
                        logging.getLogger(name).setLevel(logging.WARNING)
                hooks: dict[str, list[Callable[..., Any]]] = {
                    "request": [self._set_deadline],
                    "response": [_limit_body],
                }
                # A custom client, for its hooks: httpx limits the time of one read, not of an answer.
                http = openai.DefaultHttpxClient(event_hooks=hooks, trust_env=not self.direct)
                self._api = openai.OpenAI(
                    base_url=self.base_url,
                    api_key=self.api_key or "none",
                    timeout=openai.Timeout(self.timeout, connect=min(self.timeout, MAX_CONNECT)),
                    default_headers=dict(self.headers),
                    default_query=dict(self.query),
                    max_retries=0,
                    http_client=http,
                )
            return self._api

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        with self._lock:
            if self._api is not None:
                self._api.close()
                self._api = None

    def retry(self, attempt: Callable[[], T], tokens: int, stop: threading.Event) -> tuple[T, int]:
        """Call ``attempt()`` until it succeeds; returns its result and the number of retries.

        Parameters
        ----------
        tokens : what an attempt may use, for the rate limit

        Raises
        ------
        Fault : with ``retries`` set
        """
        _ = self.api  # imported before the pace is measured
        for tried in range(self.retries + 1):
            self.pace.wait(tokens, stop)
            if stop.is_set():
                raise Fault("passing", "not asked: the run was stopped")
            try:
                return attempt(), tried
            except Fault as fault:
                fault.retries = tried
                if fault.kind != "passing" or tried == self.retries:
                    raise
                if fault.wait is not None:
                    self.pace.hold(fault.wait)
                else:
                    stop.wait(min(MAX_BACKOFF, self.backoff * 2**tried) * random.uniform(0.75, 1.25))
        raise AssertionError("unreachable")

    def call(self, function: Callable[[Any], Any]) -> Any:
        """``function(api)``; its exceptions become a Fault that never holds the key."""
        try:
            result = function(self.api)
            self.answered = True
            return result
        except Exception as error:
            fault = fault_of(error, self)
        raise fault  # outside of the handler: the original, which may quote the key, is not chained

    def post(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a completion request, with at least one choice.

        Raises
        ------
        Fault
        """
        rest = from_chat(body) if self.responses else dict(body)
        model = rest.pop("model")
        if self.responses:
            given = rest.pop("input")
            raw = self.call(
                lambda api: api.responses.with_raw_response.create(model=model, input=given, extra_body=rest)
            )
        elif "messages" in rest:
            messages = rest.pop("messages")
            raw = self.call(
                lambda api: api.chat.completions.with_raw_response.create(
                    model=model, messages=messages, extra_body=rest
                )
            )
        else:
            prompt = rest.pop("prompt")
            raw = self.call(
                lambda api: api.completions.with_raw_response.create(model=model, prompt=prompt, extra_body=rest)
            )
        try:
            answer = to_chat(json.loads(self.scrub(raw.content.decode("utf-8", errors="replace"))))
        except ValueError:
            raise Fault("passing", f"{self.name} answered with malformed JSON", billed=True) from None
        if not choices_of(answer):
            raise Fault("passing", f"{self.name} answered without choices", billed=True)
        recount(answer, *read_answer(answer), self._tokenize)
        return answer

    def _tokenize(self, texts: Sequence[str]) -> int:
        """Tokens in ``texts``, from the /tokenize of a llama.cpp server, or an estimate if that fails."""
        try:
            said = self.call(
                lambda api: api.post(tokenize_url(self.name), body={"content": list(texts)}, cast_to=object)
            )
            return len(said["tokens"])
        except (Fault, KeyError, TypeError):
            return sum(map(count_tokens, texts))

    def scrub(self, text: str) -> str:
        """``text`` without the key and what headers hold, should a server echo it."""
        for secret in (self.api_key, *self.headers.values(), *self.query.values()):
            if len(secret) >= 8 or (secret == self.api_key != "" and len(secret) >= 4):
                text = text.replace(secret, "[key]")
        return text

    def _set_deadline(self, request: Any) -> None:
        request.extensions["opal_deadline"] = time.monotonic() + self.timeout


def _limit_body(response: Any) -> None:
    """Event hook: stop reading a body at its request's deadline, however slowly it arrives."""
    http: Any = importlib.import_module(type(response).__module__.partition(".")[0])  # httpx; httpx2 in newer openai
    deadline = response.request.extensions["opal_deadline"]
    if response.request.url.path.endswith("/content"):  # a batch's answers are many
        return
    inner = response.stream

    class Limited(http.SyncByteStream):  # type: ignore[name-defined]
        def __iter__(self) -> Any:
            size = 0
            for chunk in inner:
                size += len(chunk)
                if time.monotonic() > deadline or size > MAX_BODY:
                    raise http.ReadTimeout("the answer does not end", request=response.request)
                yield chunk

        def close(self) -> None:
            inner.close()

    response.stream = Limited()
