"""One call to an OpenAI-compatible endpoint: deadline, pace, retries, and what each failure means.

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
from email.utils import parsedate_to_datetime
from typing import Any, Literal, TypeVar

from opal.errors import LLMError
from opal.llm.budget import count_tokens
from opal.llm.wire import choices_of, recount

MAX_BODY = 64 * 2**20  # bytes; no answer is that long, but a broken server's may be endless
MAX_PATIENCE = 600.0  # seconds; an endpoint that asks to wait longer than this is out of service
MAX_BACKOFF = 30.0  # seconds
MAX_CONNECT = 10.0  # seconds
TOO_LONG = (
    "shorten requests (data.drop, prompt.max_characters, prompt.rows_per_request), or use a model with a longer "
    "context (the embedded one: llm.server.context)"
)

T = TypeVar("T")


class Fault(Exception):
    """Why a call gave no answer.

    ``kind``: ``fatal`` (no other call can succeed: key, model, quota), ``refused`` (this request is wrong) or
    ``passing`` (the same call may succeed later). ``billed``: the endpoint may have charged for it.
    """

    def __init__(
        self,
        kind: Literal["fatal", "refused", "passing"],
        sentence: str,
        wait: float | None = None,
        billed: bool = False,
        status: int | None = None,
    ) -> None:
        super().__init__(sentence)
        self.kind, self.wait, self.billed, self.status = kind, wait, billed, status
        self.retries = 0


class Pace:
    """Spaces calls evenly, so that a minute holds at most so many requests and tokens (of this process)."""

    def __init__(self, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        self.per_request = 60 / requests_per_minute if requests_per_minute else 0.0
        self.per_token = 60 / tokens_per_minute if tokens_per_minute else 0.0
        self._free_at = 0.0
        self._lock = threading.Lock()

    def wait(self, tokens: int, stop: threading.Event) -> None:
        """Block until a call of so many tokens may start, or ``stop`` is set."""
        with self._lock:
            start = max(time.monotonic(), self._free_at)
            self._free_at = start + max(self.per_request, tokens * self.per_token)
        stop.wait(start - time.monotonic())

    def hold(self, seconds: float) -> None:
        """Let no call start for so long: the endpoint asked for it."""
        with self._lock:
            self._free_at = max(self._free_at, time.monotonic() + seconds)


@dataclass
class Endpoint:
    """An address, its key and how patiently to call it; see :class:`opal.llm.client.Client` for the fields."""

    base_url: str | None
    model: str
    api_key: str = field(repr=False)
    timeout: float
    retries: int
    backoff: float
    pace: Pace
    direct: bool = False  # on this machine: no proxy
    _api: Any = field(default=None, init=False, repr=False)
    _answered: bool = field(default=False, init=False, repr=False)
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

                for name in ("openai", "httpx", "httpx2"):  # a line a call would drown the progress
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
        """``attempt()`` until it succeeds, and the number of retries that took.

        Parameters
        ----------
        tokens : what an attempt may take, for the pace

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
        """``function(api)``; what it raises becomes a Fault that never holds the key."""
        try:
            result = function(self.api)
            self._answered = True
            return result
        except Exception as error:
            fault = self._fault(error)
        raise fault  # outside of the handler: the original, which may quote the key, is not chained

    def post(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a completion request, with at least one choice.

        Raises
        ------
        Fault
        """
        rest = dict(body)
        model = rest.pop("model")
        if "messages" in rest:
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
            answer = json.loads(self.scrub(raw.content.decode("utf-8", errors="replace")))
        except ValueError:
            raise Fault("passing", f"{self.name} answered with malformed JSON", billed=True) from None
        if not choices_of(answer):
            raise Fault("passing", f"{self.name} answered without choices", billed=True)
        recount(answer, self._tokenize)
        return answer

    def _tokenize(self, texts: Sequence[str]) -> int:
        """Tokens in ``texts``, by the /tokenize of a llama.cpp server; roughly, if that fails."""
        try:
            url = f"{self.name.rstrip('/').removesuffix('/v1')}/tokenize"
            said = self.call(lambda api: api.post(url, body={"content": list(texts)}, cast_to=object))
            return len(said["tokens"])
        except (Fault, KeyError, TypeError):
            return sum(map(count_tokens, texts))

    def scrub(self, text: str) -> str:
        """``text`` without the key, should a server echo it."""
        return text.replace(self.api_key, "[key]") if len(self.api_key) >= 4 else text

    def _set_deadline(self, request: Any) -> None:
        request.extensions["opal_deadline"] = time.monotonic() + self.timeout

    def _fault(self, error: Exception) -> Fault:
        """What an exception of the openai client means."""
        import openai

        detail = self.scrub(" ".join(str(error).split()))[:300]
        unreachable = type(error.__cause__).__name__ in ("ConnectError", "ConnectTimeout")
        if isinstance(error, openai.APITimeoutError) and not unreachable:
            return Fault("passing", f"no complete answer from {self.name} within {self.timeout:g} s", billed=True)
        if isinstance(error, openai.APIStatusError):
            return self._status_fault(error, detail)
        if isinstance(error, openai.APIConnectionError):
            cause = self.scrub(str(error.__cause__ or error))[:200]
            if not unreachable:
                return Fault("passing", f"the connection to {self.name} broke off ({cause})", billed=True)
            kind: Literal["fatal", "passing"] = "passing" if self._answered else "fatal"
            mend = "is the server running, and llm.base_url right?"
            return Fault(kind, f"{self.name} cannot be reached for model {self.model!r} ({cause}): {mend}")
        if isinstance(error, Fault | LLMError):
            raise error
        return Fault("fatal", f"the call to {self.name} failed: {type(error).__name__}: {detail}")

    def _status_fault(self, error: Any, detail: str) -> Fault:
        status, code = error.status_code, str(error.code or "")
        if status in (401, 403):
            mend = "check the variable named by llm.key_env, and its rights"
            more = f" ({detail})" if status == 403 else ""  # with 401, endpoints quote parts of the key
            return Fault(
                "fatal", f"{self.name} refused the key for model {self.model!r} (status {status}): {mend}{more}"
            )
        if status == 404:
            mend = "check llm.model and llm.base_url"
            return Fault("fatal", f"{self.name} does not know model {self.model!r}: {mend} ({detail})", status=404)
        if status == 402 or "insufficient_quota" in code + detail or "billing" in code:
            mend = "top it up, then run again"
            return Fault("fatal", f"the account at {self.name} has no credit left for {self.model!r}: {mend}")
        if status in (408, 409, 425, 429) or status >= 500:
            wait = _retry_after(error.response.headers)
            if wait is not None and wait > MAX_PATIENCE:
                return Fault("fatal", f"{self.name} asks to wait {wait:.0f} s (status {status}): run again later")
            return Fault("passing", f"{self.name} answered with status {status}: {detail}", wait)
        if "context" in detail.casefold():  # servers word it each in its own way, but all name it
            detail = f"{detail.rstrip('.')}: {TOO_LONG}"
        return Fault("refused", f"{self.name} refused the request (status {status}): {detail}")


def _limit_body(response: Any) -> None:
    """Event hook: end a body at the deadline of its request, however it trickles in."""
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


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the endpoint asks to wait (RFC 9110 10.2.3: seconds or an HTTP date), or None."""
    try:
        if millis := headers.get("retry-after-ms"):
            return max(0.0, float(millis) / 1000)
        text = headers.get("retry-after")
        if text is None:
            return None
        try:
            return max(0.0, float(text))
        except ValueError:
            return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
