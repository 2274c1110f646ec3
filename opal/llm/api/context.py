"""The context length of servers that cut a longer prompt without a word: what it is, and whether requests fit.

Ollama's OpenAI-compatible endpoint takes no context length (``num_ctx`` and ``truncate`` belong to its native API) and
with most models answers a prompt that it has cut with status 200. The length is the server's: OLLAMA_CONTEXT_LENGTH or
``num_ctx`` of the Modelfile, else 4,096 on most machines. Sources, looked up on 2026-11-29: on docs.ollama.com
/context-length, /api/generate (a request without a prompt loads the model), /api/ps (``context_length``)
and /api/openai-compatibility; Ollama's issues 4967 and 17889.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace

from opal.errors import LLMError
from opal.llm.api.budget import answer_tokens, prompt_tokens
from opal.llm.api.endpoint import Endpoint
from opal.llm.api.fault import Fault
from opal.llm.api.messages import Request

log = logging.getLogger("opal")


def ollama_context(endpoint: Endpoint) -> int | None:
    """Tokens that the model has for a prompt and its answer; None, with a warning, where the server does not say.

    Loads the model, as the first request would, since only a loaded one has a context.

    Raises
    ------
    LLMError : no call can succeed
    """
    root = endpoint.name.rstrip("/").removesuffix("/v1")
    try:
        load = {"model": endpoint.model, "stream": False}
        endpoint.call(lambda api: api.post(f"{root}/api/generate", body=load, cast_to=object))
        loaded = endpoint.call(lambda api: api.get(f"{root}/api/ps", cast_to=object))
        return next(int(m["context_length"]) for m in loaded["models"] if _same(m["name"], endpoint.model))
    except (Fault, KeyError, TypeError, ValueError, StopIteration) as error:
        if isinstance(error, Fault) and error.kind == "fatal" and error.status != 404:
            raise LLMError(str(error)) from None
        log.warning("opal: %s does not tell the context length of %s: it may cut long prompts", root, endpoint.model)
        return None


def _same(name: str, model: str) -> bool:
    return name.removesuffix(":latest") == model.removesuffix(":latest")


def check_fit(requests: Iterable[Request], context: int, endpoint: Endpoint) -> None:
    """Whether the prompt and the longest answer of each request fit.

    Raises
    ------
    LLMError : one does not; says what to do
    """
    needed = max(prompt_tokens(r) + (answer_tokens(replace(r, n=1)) or 0) for r in requests)
    if needed > context:
        enough = 1 << (needed - 1).bit_length()
        raise LLMError(
            f"a prompt and its answer may take {needed:,} tokens, but Ollama cuts {endpoint.model} to {context:,} "
            f"without a word: start it with OLLAMA_CONTEXT_LENGTH={enough} (or raise num_ctx in its Modelfile), "
            "or ask for less (llm.sampling.max_tokens, prompt.max_characters, data.drop)"
        )
