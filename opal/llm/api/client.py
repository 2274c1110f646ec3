"""The client of OpenAI-compatible endpoints: stored answers first, then concurrent calls, retried and counted."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from opal.config.effect import NoEffect
from opal.config.validation import check_number
from opal.errors import ConfigError, LLMError
from opal.llm.api.adaptation import Adaptation
from opal.llm.api.batch import Batches
from opal.llm.api.budget import Budget, Estimate, Prices, answer_tokens, prompt_tokens
from opal.llm.api.cache import ResponseCache
from opal.llm.api.call import Caller
from opal.llm.api.capabilities import Capabilities, probe, remembered
from opal.llm.api.context import check_fit, ollama_context
from opal.llm.api.dialects import DECIDES_NOTHING, FLEX_TIMEOUT, GRAMMARS, HARMLESS_GRAMMARS
from opal.llm.api.endpoint import Endpoint
from opal.llm.api.fault import Fault
from opal.llm.api.keys import KeyCommand, from_environment, key_of
from opal.llm.api.messages import Request, Response
from opal.llm.api.pace import Pace
from opal.llm.api.parallel import at_once
from opal.llm.api.responses import LACKING

Api = Literal["chat", "completion", "responses"]
Cache = Literal["read_write", "replay", "off"]
How = Literal["direct", "batch"]
Told = Literal["ollama"]
HEADROOM = 4096  # tokens for reasoning, where llm.reasoning.tokens is not set
OnResponse = Callable[[Response], None]


class Server(Protocol):
    """A model server on this machine, started when first used, such as :class:`opal.llm.LocalServer`."""

    @property
    def model(self) -> str: ...

    def start(self) -> tuple[str, str]: ...

    def turn(self, stop: threading.Event) -> AbstractContextManager[None]: ...


@dataclass
class Client:
    """A model behind an OpenAI-compatible endpoint; nothing is contacted, started or imported before the first call.

    Parameters
    ----------
    model : name sent to the endpoint; None with ``server``, whose model it is
    base_url : address of the API, or None for OpenAI's (or what OPENAI_BASE_URL says)
    key_env : name of the environment variable that holds the key, or None if the endpoint needs none
    server : a model server on this machine, started at the first call
    api : ``chat``, ``completion`` for base models, or ``responses`` for models that only OpenAI's Responses API serves
    concurrency : requests in flight at once
    requests_per_minute, tokens_per_minute : limits of this process, or None
    timeout : seconds from sending a request to the end of its answer
    retries : further attempts after a temporary failure (429, 5xx, time-out, broken answer)
    backoff : seconds before the first retry, doubled for each; a Retry-After of the endpoint comes first
    mode : ``direct``, or ``batch`` for the Batch API (cheaper, hours late)
    poll : seconds between queries of a batch's status
    cache : ``read_write``, ``replay`` (stored answers only), or ``off`` (neither read nor write)
    store : folder of stored answers
    budget : limits on ``money``, ``tokens`` and ``requests`` of all runs with this ``scope``, or None
    prices : money per million tokens: ``prompt``, ``cached_prompt``, ``completion``; None: as ``models`` says, a table
        by model name, or unknown; ``cache_write``, of tokens that go into the provider's cache (None: as ``prompt``);
        ``batch``, ``flex``, ``priority``: share of them that these ways charge
    tier : ``service_tier`` of every request, such as ``flex`` (cheaper, slower, may be refused when full) or
        ``priority``; the answer is the same, so that it counts in no key. ``flex`` waits 15 minutes for an answer
    sampling : defaults for :meth:`request`: temperature, top_p, max_tokens, ...; any field the endpoint knows
    reasoning : ``effort`` (sent as ``reasoning_effort``, chat only; None: the model's default) and ``tokens``, added to
        the limit of an answer where the model reasons before it
    extra_body : further fields sent with every request, such as ``cache_prompt``; they count in the request's key,
        unless they are known not to affect the answer
    n_per_request : answers worth asking for at once
    supports : what the endpoint can do (see :class:`Capabilities`), or None to find out by a few short calls
    context_of : ``ollama``: a server that cuts long prompts without a word is asked for its context length before rows
        are, and a request that does not fit is an error; None: the endpoint refuses what is too long
    headers, query : sent with every call; a value such as ``$NAME`` is that of the environment variable, read then
    key_command : a command that prints a key, in place of ``key_env``; run again every four minutes, without a shell
    """

    model: str | None
    base_url: NoEffect[str | None] = None
    key_env: NoEffect[str | None] = "OPENAI_API_KEY"
    server: Server | None = None
    api: Api = "chat"
    concurrency: NoEffect[int] = 4
    requests_per_minute: NoEffect[float | None] = None
    tokens_per_minute: NoEffect[float | None] = None
    timeout: NoEffect[float] = 120.0
    retries: NoEffect[int] = 5
    backoff: NoEffect[float] = 0.5
    mode: NoEffect[How] = "direct"
    poll: NoEffect[float] = 30.0
    cache: NoEffect[Cache] = "read_write"
    store: NoEffect[str | Path] = "mlruns/responses"
    budget: NoEffect[Mapping[str, Any] | None] = None
    prices: NoEffect[Mapping[str, Any] | None] = None
    tier: NoEffect[str | None] = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    n_per_request: int = 1
    reasoning: Mapping[str, Any] | None = None
    supports: Mapping[str, Any] | None = None
    context_of: NoEffect[Told | None] = None
    headers: NoEffect[Mapping[str, Any] | None] = None
    query: NoEffect[Mapping[str, Any] | None] = None
    key_command: NoEffect[str | None] = None

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("api", self.api, get_args(Api)),
            ("mode", self.mode, get_args(How)),
            ("cache", self.cache, get_args(Cache)),
        ):
            if value not in allowed:
                raise ConfigError(f"llm.{name}={value!r} is not a choice; choices: {', '.join(allowed)}")
        for name, least in (("concurrency", 1), ("retries", 0), ("n_per_request", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"llm.{name}={getattr(self, name)} must be {least} or more")
        for name in ("timeout", "poll", "requests_per_minute", "tokens_per_minute", "backoff"):
            check_number(f"llm.{name}", getattr(self, name), null="")
        for name in ("timeout", "requests_per_minute", "tokens_per_minute"):
            if getattr(self, name) == 0:
                raise ConfigError(f"llm.{name}=0 lets no request through: give more")
        for name in ("max_tokens", "max_completion_tokens"):
            check_number(f"llm.sampling.{name}", self.sampling.get(name), 1, whole=True, null="")
        check_number("llm.sampling.temperature", self.sampling.get("temperature"), null="")
        if self.base_url and not str(self.base_url).startswith(("http://", "https://")):
            raise ConfigError(f"llm.base_url={self.base_url} must begin with http:// or https://")
        if self.model is None and self.server is None:
            raise ConfigError("llm.model is not set: name a model of the endpoint")
        if self.base_url and "@" in self.base_url:
            raise ConfigError("llm.base_url holds a user or password: put the key into a variable named by llm.key_env")
        if self.mode == "batch" and (self.cache == "off" or self.server is not None):
            raise ConfigError("llm.mode=batch needs an endpoint with a Batch API, and llm.cache=read_write to resume")
        if self.supports is not None:
            Capabilities.declared(_plain(self.supports))
        if self.mode == "batch" and self.tier is not None:
            raise ConfigError(f"llm.mode=batch and llm.tier={self.tier} exclude each other: a batch has its own price")
        self.extra_body = _plain(self.extra_body)
        if self.tier is not None:
            self.extra_body = {**self.extra_body, "service_tier": self.tier}
        deciding = {k: v for k, v in self.extra_body.items() if k not in DECIDES_NOTHING}
        self.sampling = {**_plain(self.sampling), **self._effort(), **deciding}
        self._store = ResponseCache(str(self.store))
        way = "batch" if self.mode == "batch" else self.tier or ""
        self._prices = self._priced(way)
        self._budget = Budget(_plain(self.budget), self._prices, self._store.folder / "budgets")
        self._pace = Pace(self.requests_per_minute, self.tokens_per_minute)
        self._command = KeyCommand(self.key_command) if self.key_command else None
        self._caller: Caller | None = None
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles hold only the settings: no connection, lock or key."""
        return _client, ({f.name: getattr(self, f.name) for f in fields(self)},)

    def _effort(self) -> dict[str, Any]:
        """The request field that ``reasoning.effort`` stands for."""
        given = _plain(self.reasoning or {})
        if unknown := sorted(set(given) - {"effort", "tokens"}):
            raise ConfigError(f"llm.reasoning.{unknown[0]} is not a key of llm.reasoning; its keys: effort, tokens")
        check_number("llm.reasoning.tokens", given.get("tokens"), whole=True, null="")
        effort = given.get("effort")
        return {} if effort is None or self.api == "completion" else {"reasoning_effort": effort}

    def identity(self) -> str:
        """The model's name in requests; for weights on this machine it holds their digest. Starts nothing."""
        return self.model or (self.server.model if self.server is not None else "")

    def request(self, **fields: Any) -> Request:
        """A request to this model; ``sampling`` given here overrides the client's."""
        sampling = {**self.sampling, **fields.pop("sampling", {})}
        return Request(model=self.identity(), sampling=sampling, **fields)

    def complete(self, requests: Sequence[Request], on_response: OnResponse | None = None) -> list[Response]:
        """The answers, in the order of ``requests``; each is stored the moment it arrives.

        A request that fails after all retries, or that the endpoint refuses, gives a response without texts and
        with ``finish=("error: <why>",)``; it is not stored, so that the next run asks again.

        Parameters
        ----------
        on_response : called in this thread with every response as it arrives, stored ones first

        Raises
        ------
        LLMError : no call can succeed (key, model, quota), none of the calls did, or ``llm.cache=replay`` lacks an
            answer
        BudgetError : the next call could break ``llm.budget``

        Both hold in ``partial`` the responses that came before, in order.
        """
        answers = [self._stored(r) for r in requests]
        for found in answers:
            if found is not None and on_response:
                on_response(found)
        missing = [i for i, found in enumerate(answers) if found is None]
        if not missing:
            return [a for a in answers if a is not None]
        try:
            if self.cache == "replay":
                raise LLMError(
                    f"llm.cache=replay, but {len(missing)} of {len(requests)} answers of {self.identity()} are not in "
                    f"{self._store.folder}: use llm.cache=read_write to ask for them, or name their folder in llm.store"
                )
            for i, response in self._fetch({i: requests[i] for i in missing}):
                answers[i] = response
                if on_response:
                    on_response(response)
            if not any(answers[i].texts for i in missing):  # type: ignore[union-attr]
                raise LLMError(answers[missing[0]].finish[0].removeprefix("error: "))  # type: ignore[union-attr]
        except LLMError as error:
            error.partial = tuple(a for a in answers if a is not None and a.texts)
            raise
        return [a for a in answers if a is not None]

    def estimate(self, requests: Sequence[Request], completion_tokens: int | None = None) -> Estimate:
        """What :meth:`complete` would cost, without calling or starting anything.

        Parameters
        ----------
        completion_tokens : expected per request, all its answers together; None for the most it allows
        """
        missing = [r for r in requests if self._stored(r) is None]
        prompt = sum(map(prompt_tokens, missing))
        answers = [answer_tokens(r) if completion_tokens is None else completion_tokens for r in missing]
        completion = None if None in answers else sum(a or 0 for a in answers)
        money = None if completion is None else self._prices.most(prompt, completion)
        return Estimate(len(requests), len(requests) - len(missing), prompt, completion, money)

    def _priced(self, way: str = "") -> Prices:
        return Prices.declared(_plain(self.prices or {}), way, self.model or "")

    @cached_property
    def capabilities(self) -> Capabilities:
        """What the endpoint can do: declared, remembered or probed (which calls it)."""
        if self.supports is not None:
            return self._of_api(Capabilities.declared(_plain(self.supports)))
        caller, stop = self._connect(), threading.Event()
        endpoint = caller.endpoint

        def ask(fields: dict[str, Any]) -> dict[str, Any] | None:
            body = {"model": endpoint.model, **fields, **self.extra_body}
            most = {"requests": 1, "tokens": 200, "money": self._prices.most(100, 100)}
            try:
                return caller.send(body, most, "probe", stop, probing=True)[0]
            except Fault as fault:
                if fault.kind == "refused":
                    return None
                raise LLMError(str(fault)) from None

        grammars = HARMLESS_GRAMMARS if self.server is None else GRAMMARS
        folder = self._store.folder / "endpoints"
        name = f"{endpoint.model} ({self.api})" if self.api == "responses" else endpoint.model
        found = remembered(folder, endpoint.name, name, caller.chat, lambda: probe(ask, caller.chat, grammars))
        return self._of_api(found)

    @cached_property
    def context(self) -> int | None:
        """Tokens that the server of ``context_of`` has for a prompt and its answer (which calls it), or None."""
        return ollama_context(self._connect().endpoint)

    def _of_api(self, found: Capabilities) -> Capabilities:
        return replace(found, **LACKING) if self.api == "responses" else found

    @property
    def capabilities_used(self) -> dict[str, Any] | None:
        """The capabilities that calls used, as plain data for the record; None if nothing was called."""
        return asdict(self.capabilities) if "capabilities" in vars(self) else None

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        if self._caller is not None:
            self._caller.endpoint.close()

    def _fetch(self, requests: Mapping[int, Request]) -> Iterator[tuple[int, Response]]:
        """Responses by index, as they arrive."""
        if self.context_of and (context := self.context) is not None:
            check_fit(requests.values(), context, self._connect().endpoint)
        if self.mode == "batch":
            caller = self._connect()
            direct = replace(caller, prices=self._priced())
            return Batches(caller, direct, self.capabilities, self._store, self.poll).fetch(requests)
        _ = self.capabilities  # once, before the threads need it
        return at_once(requests, self._answer, self.concurrency)

    def _answer(self, request: Request, stop: threading.Event) -> Response:
        if self.cache == "off":
            return self._ask(request, stop)
        with self._store.lock(request.key, stop):
            if (found := self._stored(request)) is not None:
                return found
            response = self._ask(request, stop)
            return self._store.put(response) if response.texts else response

    def _ask(self, request: Request, stop: threading.Event) -> Response:
        caller = self._connect()
        if self.server is None:
            return caller.ask(request, self.capabilities, stop)
        with self.server.turn(stop):  # it may have ended while other batches were awaited
            return self._connect().ask(request, self.capabilities, stop)

    def _stored(self, request: Request) -> Response | None:
        found = None if self.cache == "off" else self._store.get(request, empty=self.cache == "replay")
        if found is None and self.cache == "replay":
            found = self._stored_earlier(request)
        if found is not None and found.usage.money is None:  # made before the prices were known
            usage = found.usage
            tokens = (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usage.cache_write_tokens)
            money = self._prices.money(*tokens)
            return replace(found, usage=replace(usage, money=money))
        return found

    def _stored_earlier(self, request: Request) -> Response | None:
        """The answer in a record from before schemas held limits of numbers: the same question, under another key."""
        if request.constraint is None or request.constraint.json_schema is None:
            return None
        earlier = replace(request, constraint=request.constraint.unbounded())
        found = self._store.get(earlier, empty=True)
        return found and replace(found, request=request, kept_as=earlier.key)

    def _connect(self) -> Caller:
        with self._lock:
            base_url: str | None
            if self.server is not None:
                base_url, key = self.server.start()
            else:
                base_url = self.base_url
                key = self._command.key() if self._command else key_of(self.key_env, self.identity())
            known = self._caller and (self._caller.endpoint.base_url, self._caller.endpoint.api_key)
            if self._caller is None or known != (base_url, key):
                endpoint = Endpoint(
                    base_url,
                    self.identity(),
                    key,
                    timeout=max(self.timeout, FLEX_TIMEOUT) if self.tier == "flex" else self.timeout,
                    retries=self.retries,
                    backoff=self.backoff,
                    pace=self._pace,
                    direct=self.server is not None,
                    responses=self.api == "responses",
                    headers=from_environment(self.headers, "llm.headers"),
                    query=from_environment(self.query, "llm.query"),
                )
                self._caller = Caller(
                    endpoint,
                    self._budget,
                    self._prices,
                    self.api != "completion",
                    self.extra_body,
                    self._adaptation(endpoint),
                )
            return self._caller

    def _adaptation(self, endpoint: Endpoint) -> Adaptation:
        name = f"{endpoint.name} ({endpoint.model})"
        path = self._store.folder / "endpoints" / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.adapted.json"
        headroom = (self.reasoning or {}).get("tokens")
        return Adaptation(name, path, HEADROOM if headroom is None else int(headroom))


def _client(settings: dict[str, Any]) -> Client:
    return Client(**settings)


def _plain(value: Any) -> Any:
    """Configuration containers as dicts and lists."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(v) for v in value]
    return value
