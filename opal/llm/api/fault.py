"""What a failed call to an endpoint means: whether another attempt, or another request, can succeed."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Literal, Protocol

from opal.errors import LLMError
from opal.llm.api.dialects import NO_CAPACITY, NO_CREDIT, WRONG_FIELD

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
MAX_PATIENCE = 600.0  # seconds; an endpoint that asks to wait longer than this is out of service
TOO_LONG = (
    "shorten requests (data.drop, prompt.max_characters, prompt.rows_per_request), or use a model with a longer "
    "context (the embedded one: llm.server.context)"
)


class Called(Protocol):
    """What the message about a failed call says of the endpoint."""

    model: str
    timeout: float
    direct: bool
    answered: bool

    @property
    def name(self) -> str: ...

    def scrub(self, text: str) -> str: ...


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
        self.param, self.code, self.detail = "", "", ""  # of a refusal, as the endpoint gave them
        self.retries = 0

    @classmethod
    def refusal(cls, sentence: str, status: int | None, error: Mapping[str, Any]) -> Fault:
        """A refused request.

        Parameters
        ----------
        error : what the endpoint says of it: ``param``, ``code`` and ``message``
        """
        fault = cls("refused", sentence, status=status)
        fault.param, fault.code = str(error.get("param") or ""), str(error.get("code") or "")
        fault.detail = str(error.get("message"))
        return fault


def fault_of(error: Exception, endpoint: Called) -> Fault:
    """What an exception of the openai client means."""
    import openai

    detail = endpoint.scrub(" ".join(_words(error).split()))[:300]
    unreachable = type(error.__cause__).__name__ in ("ConnectError", "ConnectTimeout")
    if isinstance(error, openai.APITimeoutError) and not unreachable:
        if endpoint.direct:  # as slow the next time
            why = f"the model on this machine took more than llm.timeout={endpoint.timeout:g} s"
            mend = "raise llm.timeout, or ask for less at once (llm.n_per_request, data.drop)"
            return Fault("fatal", f"{why}: {mend}", billed=True)
        return Fault("passing", f"no complete answer from {endpoint.name} within {endpoint.timeout:g} s", billed=True)
    if isinstance(error, openai.APIStatusError):
        return _of_status(error, detail, endpoint)
    if isinstance(error, openai.APIConnectionError):
        cause = endpoint.scrub(str(error.__cause__ or error))[:200]
        if not unreachable:
            return Fault("passing", f"the connection to {endpoint.name} broke off ({cause})", billed=True)
        kind: Literal["fatal", "passing"] = "passing" if endpoint.answered else "fatal"
        mend = "is the server running, and llm.base_url right?"
        return Fault(kind, f"{endpoint.name} cannot be reached for model {endpoint.model!r} ({cause}): {mend}")
    if isinstance(error, Fault | LLMError):
        raise error
    return Fault("fatal", f"the call to {endpoint.name} failed: {type(error).__name__}: {detail}")


def _words(error: Exception) -> str:
    """What an error says; the openai package drops bodies that have not OpenAI's form (Mistral, Gemini)."""
    import openai

    said = str(error)
    if isinstance(error, openai.APIStatusError) and re.fullmatch(r"Error code: \d+", said):
        return f"{said} - {error.response.text[:1000]}"
    return said


def _of_status(error: Any, detail: str, endpoint: Called) -> Fault:
    status, code = error.status_code, str(error.code or "")
    status = 422 if status == 500 and WRONG_FIELD.search(detail) else status
    if status in (401, 403):
        mend = "check the variable named by llm.key_env, and its rights"
        more = f" ({detail})" if status == 403 else ""  # with 401, endpoints quote parts of the key
        return Fault(
            "fatal", f"{endpoint.name} refused the key for model {endpoint.model!r} (status {status}): {mend}{more}"
        )
    if status == 404:
        mend = "check llm.model and llm.base_url"
        return Fault("fatal", f"{endpoint.name} does not know model {endpoint.model!r}: {mend} ({detail})", status=404)
    if status == 402 or any(word in code + detail for word in NO_CREDIT):
        mend = "top it up, then run again"
        return Fault("fatal", f"the account at {endpoint.name} has no credit left for {endpoint.model!r}: {mend}")
    if status in (408, 409, 425, 429, NO_CAPACITY) or status >= 500:
        wait = _retry_after(error.response.headers)
        if wait is not None and wait > MAX_PATIENCE:
            return Fault("fatal", f"{endpoint.name} asks to wait {wait:.0f} s (status {status}): run again later")
        return Fault("passing", f"{endpoint.name} answered with status {status}: {detail}", wait)
    said = detail
    if "context" in detail.casefold():  # every server words it differently, but all name it
        detail = f"{detail.rstrip('.')}: {TOO_LONG}"
    sentence = f"{endpoint.name} refused the request (status {status}): {detail}"
    return Fault.refusal(sentence, status, {"param": error.param, "code": code, "message": said})


def _until_reset(headers: Mapping[str, str]) -> float | None:
    """Seconds until the exhausted one of OpenAI's limits is full again: ``x-ratelimit-reset-tokens: 6m0s``, or None."""
    for kind in ("requests", "tokens"):
        if headers.get(f"x-ratelimit-remaining-{kind}", "").strip() == "0":
            parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", headers.get(f"x-ratelimit-reset-{kind}", ""))
            if parts:
                return sum(float(number) * _UNITS[unit] for number, unit in parts)
    return None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the endpoint asks to wait (RFC 9110 10.2.3: seconds or an HTTP date), or None."""
    try:
        if millis := headers.get("retry-after-ms"):
            return max(0.0, float(millis) / 1000)
        text = headers.get("retry-after")
        if text is None:
            return _until_reset(headers)
        try:
            return max(0.0, float(text))
        except ValueError:
            return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
