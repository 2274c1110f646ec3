"""Each provider's YAML, and the shapes of its answers and errors as its documentation prints them (FAKE servers)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_server import FakeLLM, Raw, Status

from opal.config.build import CONF, compose
from opal.errors import LLMError
from opal.llm.api.client import Client
from opal.llm.api.messages import Constraint

# all but those that start a server of their own
OPTIONS = {path.stem: path.read_text() for path in Path(CONF, "llm").glob("*.yaml")}
PROVIDERS = sorted(name for name in OPTIONS.keys() - {"openai_compatible"} if "server:" not in OPTIONS[name])
NEEDED = {"azure": ["llm.base_url=https://r.openai.azure.com/openai/v1/"]}
USAGE = {"prompt_tokens": 20, "completion_tokens": 7, "total_tokens": 27}


def client_of(name: str, fake: FakeLLM, tmp_path: Path, **fields) -> Client:
    config = compose("method=llm", "prompt=expert", f"llm={name}", "llm.model=m", *NEEDED.get(name, []))
    given = {k: v for k, v in config["method"]["client"].items() if k != "_target_"}
    given |= {"base_url": fake.url, "store": str(tmp_path / "store"), "backoff": 0.01}
    return Client(**(given | fields))


def ask(client: Client, **fields):
    return client.complete([client.request(messages=({"role": "user", "content": "rows?"},), **fields)])[0]


@pytest.fixture(autouse=True)
def keys(monkeypatch):
    for name in PROVIDERS:
        monkeypatch.setenv(f"{name.upper()}_API_KEY", f"sk-{name}-sentinel")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "sk-azure-sentinel")


@pytest.mark.slow
@pytest.mark.parametrize("name", PROVIDERS)
def test_a_provider_is_one_yaml(name, tmp_path):
    with FakeLLM(answer=lambda body: "1,2") as fake:
        client = client_of(name, fake, tmp_path)
        assert ask(client, sampling={"seed": 3}).texts == ("1,2",)
    key_env = client.key_env
    sent = fake.headers[-1]
    if key_env:
        assert sent["authorization"] == f"Bearer sk-{'azure' if name == 'azure' else name}-sentinel"
    if name == "azure":
        assert sent["api-key"] == "sk-azure-sentinel"
    if name == "openrouter":
        assert sent["x-title"] == "OPAL" and fake.requests[-1]["provider"] == {"require_parameters": True}
    assert client.supports is not None or fake.requests[0]["messages"][0]["content"].startswith("Say hello")
    kept = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert b"sentinel" not in kept


ANSWERS = {
    "deepseek": (
        {"role": "assistant", "content": "5,6", "reasoning_content": "Let me think."},
        USAGE | {"prompt_cache_hit_tokens": 8, "completion_tokens_details": {"reasoning_tokens": 4}},
        (8, 4),
    ),
    "openrouter": (
        {"role": "assistant", "content": "5,6", "refusal": None, "reasoning": "Hm."},
        USAGE | {"prompt_tokens_details": {"cached_tokens": 3}, "completion_tokens_details": {"reasoning_tokens": 2}},
        (3, 2),
    ),
    "ollama": ({"role": "assistant", "content": "5,6", "reasoning": "Hm."}, USAGE, (0, 0)),
    "vllm": ({"role": "assistant", "reasoning_content": None, "content": "5,6", "tool_calls": []}, USAGE, (0, 0)),
    "gemini": ({"role": "assistant", "content": "5,6"}, USAGE, (0, 0)),
    "mistral": ({"role": "assistant", "tool_calls": None, "content": "5,6", "prefix": False}, USAGE, (0, 0)),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_its_answers_are_read(name, tmp_path):
    message, usage, (cached, reasoning) = ANSWERS[name]
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}
    with FakeLLM(answer=lambda _: Raw(json.dumps(body).encode())) as fake:
        found = ask(client_of(name, fake, tmp_path, supports={}))
    assert found.texts == ("5,6",) and found.finish == ("stop",)
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (20, 7)
    assert (found.usage.cached_tokens, found.usage.reasoning_tokens) == (cached, reasoning)


class Refusing(FakeLLM):
    """FAKE: refuses every request with ``field`` in the words of one provider."""

    def __init__(self, field: str, status: int, error: dict) -> None:
        super().__init__(answer=lambda body: "1,2")
        self.field, self.status, self.error = field, status, error

    def refusal(self, body):
        return Status(self.status, body=self.error) if self.field in body else None


ERRORS = {
    "mistral": (
        "seed",
        422,
        {
            "object": "error",
            "message": {
                "detail": [
                    {"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}
                ]
            },
        },
    ),
    "groq": (
        "logprobs",
        400,
        {"error": {"message": "property 'logprobs' is unsupported", "type": "invalid_request_error"}},
    ),
    "gemini": (
        "seed",
        400,
        [{"error": {"code": 400, "message": 'Invalid JSON payload received. Unknown name "seed": Cannot find field.'}}],
    ),
    "vllm": (
        "min_p",
        400,
        {"object": "error", "message": "min_p is not supported for this model", "type": "BadRequestError", "code": 400},
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_its_refusal_of_a_field_is_understood(name, tmp_path):
    field, status, error = ERRORS[name]
    with Refusing(field, status, error) as fake:
        client = client_of(name, fake, tmp_path, supports={"seed": True})
        assert ask(client, sampling={field: 1}).texts == ("1,2",)
    assert field in fake.requests[0] and field not in fake.requests[-1]


def test_a_422_that_llama_cpp_python_calls_500(tmp_path):
    """As version 0.3.36 answered: the schema is given up, and JSON without one asked for."""
    said = (
        "1 validation error:\n  {'type': 'literal_error', 'loc': ('body', 'response_format', 'type'), 'msg': "
        "\"Input should be 'text' or 'json_object'\", 'input': 'json_schema'}"
    )

    class Server(FakeLLM):
        def refusal(self, body):
            if body.get("response_format", {}).get("type") == "json_schema":
                return Status(500, body={"error": {"message": said, "type": "internal_server_error", "code": None}})
            return None

    schema = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    with Server(answer=lambda body: "{}") as fake:
        client = client_of("llama_cpp", fake, tmp_path, supports={"json_schema": True, "json_object": True})
        found = ask(client, constraint=Constraint(json_schema=schema))
    assert found.texts == ("{}",) and found.mode == "json" and len(fake.requests) == 2


def test_a_key_may_come_from_a_command(tmp_path):
    script = tmp_path / "token.sh"
    script.write_text(f"#!/bin/sh\necho x >> {tmp_path}/runs\necho tok-sentinel-1\n")
    script.chmod(0o755)
    with FakeLLM(answer=lambda body: "1") as fake:
        client = client_of("azure", fake, tmp_path, key_command=f"{script} --any", headers=None)
        for draw in range(3):
            ask(client, draw=draw)
    assert fake.headers[-1]["authorization"] == "Bearer tok-sentinel-1"
    assert (tmp_path / "runs").read_text().count("x") == 1, "it is kept for a while"


@pytest.mark.parametrize(("command", "said"), [("false", "printed no key"), ("no-such-command-7", "cannot be run")])
def test_a_command_that_fails_is_named(command, said, tmp_path):
    with FakeLLM() as fake, pytest.raises(LLMError, match=said):
        ask(client_of("azure", fake, tmp_path, key_command=command, headers=None))


def test_a_header_whose_variable_is_not_set_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("AZURE_OPENAI_API_KEY")
    with FakeLLM() as fake, pytest.raises(LLMError, match="AZURE_OPENAI_API_KEY"):
        ask(client_of("azure", fake, tmp_path, key_env=None))
