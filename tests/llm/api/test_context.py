"""Ollama cuts prompts without a word: it is asked for its context length first (a FAKE of its documented answers)."""

from __future__ import annotations

import pytest
from fake_server import FakeLLM

from opal.config.build import compose, instantiate
from opal.errors import ConfigError, LLMError

LONG = "0.25,1.75," * 300  # some 2,400 tokens, counted with caution


class FakeOllama(FakeLLM):
    """FAKE Ollama: loads a model when asked to, and then names its context (docs.ollama.com/api/ps and /api/generate).

    Parameters
    ----------
    context : tokens of a loaded model
    """

    def __init__(self, context: int, model: str = "gemma3:latest") -> None:
        super().__init__(answer=lambda body: "1,2")
        self.context, self.model, self.loads = context, model, 0
        self.more = {"/api/generate": self.load, "/api/ps": self.running}

    def load(self, body: dict) -> dict:
        assert "prompt" not in body and "options" not in body, "another context would be loaded than rows will have"
        self.loads += 1
        when = "2026-11-29T04:00:00Z"
        return {"model": body["model"], "created_at": when, "response": "", "done": True, "done_reason": "load"}

    def running(self, body: dict) -> dict:
        details = {"parent_model": "", "format": "gguf", "family": "gemma3", "quantization_level": "Q4_K_M"}
        one = {"name": self.model, "model": self.model, "size": 6591830464, "digest": "a2af6cc3", "details": details}
        one |= {"expires_at": "2026-11-29T04:05:00Z", "size_vram": 0, "context_length": self.context}
        return {"models": [one] * (self.loads > 0)}


def asking(fake, tmp_path, *options, prompt="rows?"):
    """The answers of llm=ollama to three requests."""
    options = (f"llm.base_url={fake.url}", f"llm.store={tmp_path}/store", "llm.model=gemma3", *options)
    client = instantiate(compose("method=llm", "llm=ollama", "prompt=expert", *options), "method").client
    messages = ({"role": "user", "content": prompt},)
    return client.complete([client.request(messages=messages, draw=i) for i in range(3)])


def test_a_request_that_fits_is_asked(tmp_path):
    with FakeOllama(context=4096) as fake:
        assert [r.texts for r in asking(fake, tmp_path)] == [("1,2",)] * 3
        assert fake.loads == 1 and len(fake.requests) == 3
        assert all(r.cached for r in asking(fake, tmp_path)) and fake.loads == 1, "stored answers need no server"


def test_a_request_that_would_be_cut_is_not_asked(tmp_path):
    with FakeOllama(context=4096) as fake:
        with pytest.raises(LLMError, match=r"cuts gemma3 to 4,096 .* OLLAMA_CONTEXT_LENGTH=8192 .*max_tokens"):
            asking(fake, tmp_path, prompt=LONG)
        assert not fake.requests
        fake.context = 8192
        assert len(asking(fake, tmp_path, prompt=LONG)) == 3


def test_the_prompt_may_fit_with_a_shorter_answer(tmp_path):
    with FakeOllama(context=4096) as fake:
        assert len(asking(fake, tmp_path, "llm.sampling.max_tokens=500", prompt=LONG)) == 3


@pytest.mark.parametrize("silent", ["older", "elsewhere"])
def test_a_server_that_does_not_tell_is_asked_with_a_warning(tmp_path, caplog, silent):
    with FakeOllama(context=4096, model="another") as fake:
        if silent == "older":
            fake.more = {}
        assert len(asking(fake, tmp_path, prompt=LONG)) == 3
    assert [r.getMessage() for r in caplog.records if "does not tell the context length of gemma3" in r.getMessage()]


def test_a_server_that_is_not_there_is_named(tmp_path, caplog):
    with FakeOllama(context=4096) as fake:
        pass
    with pytest.raises(LLMError, match="cannot be reached"):
        asking(fake, tmp_path)
    assert not caplog.records, "one sentence is enough"


def test_another_server_has_no_such_question(tmp_path):
    with FakeLLM() as fake, pytest.raises(ConfigError, match=r"llm\.context_of=vllm must be one of ollama or null"):
        asking(fake, tmp_path, "llm.context_of=vllm")
