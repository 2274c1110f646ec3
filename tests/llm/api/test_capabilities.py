"""The probe: what (fake) servers of several kinds turn out to do, asked once, kept, and used."""

from __future__ import annotations

import json

import pytest
from fake_server import FakeLLM, Status

from opal.errors import LLMError
from opal.llm.api.capabilities import Capabilities
from opal.llm.api.messages import Constraint


def openai_like(body):
    form = body.get("response_format", {}).get("type")
    return {"json_schema": '{"zq7": 1}', "json_object": '{"hello": 1}'}.get(form, "Hello!")


def llama_like(body):
    return "xk4" if "llguidance" in body.get("grammar", "") else openai_like(body)


def vllm_like(body):
    return "zq7" if "structured_outputs" in body else openai_like(body)


def forgetful(body):
    """Accepts every field and heeds none; a new text each time; one choice whatever n says."""
    forgetful.count += 1
    return [f"Hello {forgetful.count}"]


forgetful.count = 0
FULL = {"json_schema": True, "json_object": True, "seed": True, "n": True, "prompt_cache": True}


@pytest.mark.parametrize(
    ("server", "found"),
    [
        ({"answer": openai_like, "rejects": {"grammar", "structured_outputs", "guided_regex"}}, Capabilities(**FULL)),
        ({"answer": llama_like}, Capabilities(**FULL)),
        ({"answer": vllm_like}, Capabilities(**FULL, grammar="structured_outputs")),
        ({"answer": forgetful}, Capabilities(prompt_cache=True)),
        ({"answer": forgetful, "rejects": {"response_format", "seed", "n", "grammar"}}, Capabilities()),
    ],
    ids=["openai", "llama.cpp", "vLLM", "heeds nothing", "refuses everything"],
)
def test_capabilities_are_found_by_asking_once(make, ask, server, found):
    with FakeLLM(**server) as fake:
        assert make(fake, supports=None).capabilities == found
        asked = len(fake.requests)
        assert 0 < asked <= 10
        client = make(fake, supports=None)
        assert client.capabilities == found and len(fake.requests) == asked
        assert make(fake, supports=None, model="other").capabilities and len(fake.requests) > asked


def test_what_was_found_is_kept_readably_beside_the_answers(make, tmp_path):
    with FakeLLM(answer=openai_like) as fake:
        _ = make(fake, supports=None).capabilities
        [path] = (tmp_path / "store" / "endpoints").glob("*.json")
        record = json.loads(path.read_text())
        assert record["endpoint"] == fake.url and record["model"] == "fake" and record["capabilities"]["json_schema"]


def test_nothing_is_asked_where_declared_or_stored(make, ask):
    with FakeLLM() as fake:
        client = make(fake)
        client.complete(ask(client))
        assert len(fake.requests) == 1
        undeclared = make(fake, supports=None)
        undeclared.complete(ask(undeclared))
        assert len(fake.requests) == 1


def test_the_answer_records_the_mode_that_was_found(make, ask):
    with FakeLLM(answer=vllm_like) as fake:
        client = make(fake, supports=None)
        [response] = client.complete(ask(client, constraint=Constraint(regex="zq7")))
        assert response.mode == "grammar" and fake.requests[-1]["structured_outputs"] == {"regex": "zq7"}


def test_a_fault_while_probing_is_no_finding(make, tmp_path):
    with FakeLLM(answer=lambda body: Status(401)) as fake:
        with pytest.raises(LLMError, match="refused the key"):
            _ = make(fake, supports=None).capabilities
        fake.answer = openai_like
        fake.script = [Status(429)]
        assert make(fake, supports=None).capabilities.json_schema


@pytest.mark.local_model
def test_the_embedded_model_can_what_its_yaml_declares(tmp_path):
    pytest.importorskip("xllamacpp")
    from opal.llm.api.client import Client
    from opal.llm.local.server import LocalServer

    fields = {"key_env": None, "server": LocalServer(slots=2, context=512), "api": "completion", "concurrency": 1}
    client = Client(None, **fields, timeout=300, store=tmp_path, extra_body={"cache_prompt": False})
    found = client.capabilities
    assert found.grammar == "llguidance" and found.seed and found.n
    constraint = Constraint(regex="([0-9]\\.[0-9],0\n){2}")
    request = client.request(prompt="a,b\n1.2,0\n1.4,0\n", n=2, constraint=constraint, sampling={"max_tokens": 20})
    [response] = client.complete([request])
    assert [len(t.splitlines()) for t in response.texts] == [2, 2]
    assert response.usage.completion_tokens == 2 * (2 * 6 + 1)  # digits, points, commas, line ends, and the end
