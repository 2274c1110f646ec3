"""Everything an endpoint can do wrong, over real HTTP: no hang, nothing lost, one sentence, never the key."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
import traceback
from email.utils import formatdate
from pathlib import Path

import pytest
from fake_server import Drip, FakeLLM, Raw, Reply, Reset, Status

from opal.errors import LLMError
from opal.llm.api.fault import _retry_after
from opal.llm.api.parallel import at_once

KEY = "sk-test-5e07d8a1"
HERE = Path(__file__).parents[1]


def passing(name, fault, *marks):
    return pytest.param(fault, id=name, marks=marks)


@pytest.mark.parametrize(
    "fault",
    [
        passing("429", Status(429)),
        passing("500", Status(500)),
        passing("503 in HTML", Raw(b"<html>busy</html>")),
        passing("reset in mid-body", Reset()),
        passing("endless body", Drip(), pytest.mark.slow),
        passing("late answer", Reply(["late"], delay=30.0), pytest.mark.slow),
        passing("malformed JSON", Raw(b'{"choices": [{"message"')),
        passing("no JSON object", Raw(b"[1, 2]")),
        passing("empty choices", Reply([])),
        passing("choices of another type", Raw(b'{"choices": ["text"]}')),
        passing("bytes that are no UTF-8", Raw(b"\xff\xfe\x00")),
    ],
)
def test_a_passing_fault_is_retried_and_costs_only_itself(make, ask, fault):
    with FakeLLM(script=[fault]) as fake:
        client = make(fake, concurrency=2, timeout=1)
        began = time.monotonic()
        responses = client.complete(ask(client, 3))
        assert time.monotonic() - began < 8
    assert [r.texts for r in responses] == [("hello",)] * 3
    assert sum(r.usage.retries for r in responses) == len(fake.requests) - 3 >= 1


@pytest.mark.parametrize(
    "fault",
    [passing("500", Status(500)), passing("endless", Drip(), pytest.mark.slow), passing("reset", Reset())],
)
def test_a_lasting_fault_of_one_request_loses_no_other(make, ask, fault):
    def answer(body):
        return fault if body["user"] == "1" else body["user"]

    with FakeLLM(answer=answer) as fake:
        client = make(fake, retries=1, timeout=1)
        requests = [ask(client, sampling={"user": str(i)})[0] for i in range(4)]
        responses = client.complete(requests)
        assert [r.texts for r in responses] == [("0",), (), ("2",), ("3",)]
        assert responses[1].finish[0].startswith("error: ") and responses[1].usage.retries == 1
        fake.answer = lambda body: "mended"
        again = client.complete(requests)
    assert [r.texts for r in again] == [("0",), ("mended",), ("2",), ("3",)]
    assert [r.cached for r in again] == [True, False, True, True]


@pytest.mark.parametrize("retry_after", [0.4, pytest.param("date", marks=pytest.mark.slow)])
def test_retry_after_is_honoured(make, ask, retry_after):
    wait = formatdate(time.time() + 3, usegmt=True) if retry_after == "date" else retry_after
    with FakeLLM(script=[Status(429, retry_after=wait)]) as fake:
        client = make(fake, concurrency=1)
        client.complete(ask(client, 2))
        assert fake.times[1] - fake.times[0] > (1.0 if retry_after == "date" else 0.39)
        assert fake.times[2] - fake.times[1] < 0.3  # the others wait with it, not after it


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Status(401, echo_key=True), "refused the key"),
        (Status(403), "refused the key"),
        (Status(404, "model_not_found"), "does not know model 'fake'"),
        (Status(402), "no credit left"),
        (Status(429, "insufficient_quota"), "no credit left"),
        (Status(429, retry_after=86400), "asks to wait 86400 s"),
    ],
)
def test_what_no_retry_mends_stops_at_once(make, ask, fault, text):
    with FakeLLM(answer=lambda body: fault) as fake:
        client = make(fake, concurrency=2)
        with pytest.raises(LLMError, match=text) as caught:
            client.complete(ask(client, 50))
        assert len(fake.requests) <= 4
        assert fake.url in str(caught.value)
        assert KEY not in "".join(traceback.format_exception(caught.value))


def test_answers_that_came_before_a_fatal_error_are_kept(make, ask):
    with FakeLLM(script=["one", "two", Status(429, "insufficient_quota")]) as fake:
        client, seen = make(fake, concurrency=1), []
        with pytest.raises(LLMError) as caught:
            client.complete(ask(client, 5), on_response=seen.append)
        assert [r.texts[0] for r in seen] == ["one", "two"]
        assert [r.texts[0] for r in caught.value.partial] == ["one", "two"]
        assert client.estimate(ask(client, 5)).stored == 2


def test_connection_refused_is_told_in_one_sentence(make, ask):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    client = make(None, base_url=url)
    began = time.monotonic()
    with pytest.raises(LLMError, match=f"{url} cannot be reached for model 'fake'"):
        client.complete(ask(client, 20))
    assert time.monotonic() - began < 5


@pytest.mark.slow
def test_a_server_that_comes_back_is_waited_for(make, ask):
    with FakeLLM() as fake:
        port = fake.server.server_address[1]
        client = make(fake, retries=6, backoff=0.1)
        client.complete(ask(client, 1))
    client.close()
    with socket.socket():
        begin = subprocess.Popen(
            [sys.executable, "-c", "import sys,time; time.sleep(0.5); sys.path.insert(0, sys.argv[1])\n"
             "from fake_server import FakeLLM\nwith FakeLLM(port=int(sys.argv[2])): time.sleep(30)",
             str(HERE), str(port)]
        )  # fmt: skip
    try:
        assert client.complete(ask(client, 2))[1].texts == ("hello",)
    finally:
        begin.kill()
        begin.wait()


def test_an_endpoint_out_of_service_is_given_up(make, ask):
    with FakeLLM(answer=lambda body: Status(500)) as fake:
        client = make(fake, concurrency=2, retries=1)
        with pytest.raises(LLMError, match="status 500"):
            client.complete(ask(client, 100))
        assert len(fake.requests) < 20


def test_a_refused_request_is_not_retried(make, ask):
    with FakeLLM(script=[Status(400, message="context too long")]) as fake:
        client = make(fake, concurrency=1)
        first, second = client.complete(ask(client, 2))
    assert first.texts == () and "context too long" in first.finish[0] and second.texts == ("hello",)
    assert len(fake.requests) == 2


@pytest.mark.parametrize("finish", ["content_filter", "length"])
def test_filtered_and_cut_answers_are_kept_as_they_came(make, ask, finish):
    text = None if finish == "content_filter" else "1,2,"
    with FakeLLM(answer=lambda body: Reply([text] if text else [""], finish=finish)) as fake:
        client = make(fake)
        [response] = client.complete(ask(client))
        [again] = client.complete(ask(client))
    assert response.finish == again.finish == (finish,) and response.texts == again.texts == (text or "",)


def test_a_refusal_without_content_is_an_empty_text(make, ask):
    body = {"choices": [{"index": 0, "message": {"content": None, "refusal": "no"}, "finish_reason": "stop"}]}
    with FakeLLM(script=[Raw(json.dumps(body).encode())]) as fake:
        client = make(fake)
        [response] = client.complete(ask(client))
    assert response.texts == ("",) and response.usage.prompt_tokens > 0


def test_a_million_characters_come_through(make, ask):
    with FakeLLM(answer=lambda body: "7," * 500_000) as fake:
        client = make(fake, timeout=10)
        assert len(client.complete(ask(client))[0].texts[0]) == 10**6
        assert client.complete(ask(client))[0].cached


def test_the_key_is_nowhere(make, ask, tmp_path, caplog):
    """A server that echoes the key in every way it can."""
    log = io.StringIO()
    logging.getLogger().addHandler(handler := logging.StreamHandler(log))
    logging.getLogger().setLevel(logging.DEBUG)
    try:
        script = [Status(500, echo_key=True), Reply([f"your key is {KEY}"]), Status(400, echo_key=True)]
        with FakeLLM(script=script) as fake:
            client = make(fake, concurrency=1, supports={"seed": True})
            responses = client.complete(ask(client, 3))
            shown = repr(client) + repr(responses) + repr(vars(client)) + str(client._caller)
            fake.key = "another"
            with pytest.raises(LLMError) as caught:
                client.complete(ask(client, 9))
    finally:
        logging.getLogger().removeHandler(handler)
        logging.getLogger().setLevel(logging.WARNING)
    assert responses[0].texts == ("your key is [key]",)
    files = [p.read_text() for p in tmp_path.rglob("*") if p.is_file()]
    assert files and KEY not in "".join([*files, shown, log.getvalue(), caplog.text])
    assert KEY not in "".join(traceback.format_exception(caught.value))


SWEEP = """
import sys
from opal.llm.api.client import Client
client = Client("fake", sys.argv[1], key_env=None, supports={}, concurrency=2, store=sys.argv[2])
requests = [client.request(messages=({"role": "user", "content": "rows?"},), draw=i) for i in range(12)]
print(sum(r.usage.paid_requests for r in client.complete(requests, on_response=lambda r: print("came", flush=True))))
"""


@pytest.mark.slow
def test_killed_in_mid_sweep_and_restarted_it_pays_for_no_answer_twice(tmp_path):
    """SIGKILL while requests are in flight; only those, whose answers never came, are asked for again."""
    env = os.environ | {"PYTHONPATH": str(HERE.parents[1])}
    with FakeLLM(answer=lambda body: Reply(["x"], delay=0.15)) as fake:
        command = [sys.executable, "-c", SWEEP, fake.url, str(tmp_path)]
        first = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
        for _ in range(5):
            assert first.stdout.readline() == "came\n"
        first.send_signal(signal.SIGKILL)
        first.wait()
        first.stdout.close()
        stored = len([p for p in tmp_path.glob("??/*.json") if not p.name.startswith(".")])
        before = len(fake.requests)
        assert 5 <= stored < 12 and before <= stored + 2
        second = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=60)
    assert second.stdout.splitlines()[-1] == str(12 - stored)
    assert len(fake.requests) == before + 12 - stored


@pytest.mark.parametrize(
    "words", ["request (23359 tokens) exceeds the available context size", "This model's maximum context length is 9."]
)
def test_a_request_too_long_for_the_model_is_told_with_its_mend(words, make):
    with FakeLLM(answer=lambda body: Status(400, message=words)) as fake, pytest.raises(LLMError) as caught:
        client = make(fake)
        client.complete([client.request(messages=({"role": "user", "content": "rows?"},))])
    told = str(caught.value)
    assert re.search(r"refused the request \(status 400\): .*[^.]: shorten requests \(data.drop", told), told


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1.5s"}, 1.5),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "20ms"}, 0.02),
        ({"x-ratelimit-remaining-tokens": "9", "x-ratelimit-reset-tokens": "20ms"}, None),
        ({"retry-after": "3", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1s"}, 3),
        ({"retry-after-ms": "250", "retry-after": "3"}, 0.25),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "soon"}, None),
    ],
)
def test_how_long_the_endpoint_asks_to_wait(headers, seconds):
    assert _retry_after(headers) == seconds


def test_an_answer_that_cannot_be_stored_stops_further_requests():
    asked = []

    def answer(request, stop):
        if not stop.is_set():
            asked.append(request)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        list(at_once(dict.fromkeys(range(20), "a request"), answer, 1))
    assert len(asked) == 1
