"""The store: readable, permanent, safe for many processes, replayed without any client."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from fake_server import FakeLLM

from opal.errors import LLMError
from opal.llm.api.cache import ResponseCache
from opal.llm.api.messages import Constraint, Request, Response
from opal.result import Usage

ROOT = Path(__file__).resolve().parents[3]


def answer(text="1,2\n", **fields):
    constraint = Constraint({"type": "object", "required": ["a"]}, r"\d+")
    asked = {"model": "m@sha256:1", "prompt": "zażółć\n", "sampling": {"temperature": 0.6, "stop": ["\n\n"]}}
    request = Request(**asked, constraint=constraint, n=2, draw=4)
    usage = Usage(1, 2, 0, 10, 5, 3, None, 1, 15, None, 0.7)
    return Response(request, (text, ""), ("stop", "length"), usage, "grammar", created="2026-11-22T12:00:00+00:00")


def test_an_answer_comes_back_as_it_was_and_unpaid(tmp_path):
    response = answer()
    assert ResponseCache(tmp_path).get(response.request) is None
    assert ResponseCache(tmp_path).put(response) is response
    found = ResponseCache(tmp_path).get(response.request)
    assert (found.texts, found.finish, found.mode, found.created) == (
        response.texts, response.finish, "grammar", response.created
    )  # fmt: skip
    assert found.cached and found.usage == Usage(1, 0, 1, 10, 5, 3, None)


def test_records_are_readable_and_say_what_was_asked(tmp_path):
    response = answer()
    ResponseCache(tmp_path).put(response)
    key = response.request.key
    [path] = tmp_path.rglob("*.json")
    assert path == tmp_path / key[:2] / f"{key}.json"
    assert "zażółć" in path.read_text(encoding="utf-8")
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["request"] == response.request.canonical() and record["texts"] == ["1,2\n", ""]


def test_the_first_writer_wins_and_the_second_still_says_what_it_paid(tmp_path):
    store = ResponseCache(tmp_path)
    store.put(answer("first"))
    kept = store.put(answer("second"))
    assert kept.texts[0] == "first" and kept.usage.paid_tokens == 15 and kept.usage.cache_hits == 0
    assert store.get(kept.request).texts[0] == "first"


@pytest.mark.parametrize("text", ["", '{"texts": ["x"', "[]", "null", '{"texts": 3, "request": {}}'])
def test_a_damaged_record_is_set_aside_and_named(tmp_path, text, caplog):
    response, store = answer(), ResponseCache(tmp_path)
    store.put(response)
    path = store.path(response.request.key)
    path.write_text(text)
    assert store.get(response.request) is None
    assert path.with_suffix(".damaged").read_text() == text and str(path) in caplog.text
    store.put(response)  # asked again
    assert store.get(response.request).texts == response.texts


@pytest.mark.parametrize("change", [{"texts": ["rows of my own"]}, {"finish": ["length"]}, {"created": 0.0}])
def test_an_edited_record_is_not_served(tmp_path, change, caplog):
    response, store = answer(), ResponseCache(tmp_path)
    store.put(response)
    path = store.path(response.request.key)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert store.get(response.request) is None
    assert "was edited" in caplog.text


def test_a_record_without_digest_is_served(tmp_path):
    """Version 0.1 wrote none."""
    response, store = answer(), ResponseCache(tmp_path)
    store.put(response)
    path = store.path(response.request.key)
    record = json.loads(path.read_text())
    del record["digest"]
    path.write_text(json.dumps(record))
    assert store.get(response.request).texts == response.texts


def test_a_record_of_another_request_is_not_believed(tmp_path, caplog):
    response, store = answer(), ResponseCache(tmp_path)
    store.put(response)
    path = store.path(response.request.key)
    record = json.loads(path.read_text())
    record["request"]["draw"] = 5
    path.write_text(json.dumps(record))
    assert store.get(response.request) is None
    assert "answers another request" in caplog.text


def _write(folder, barrier, results):
    barrier.wait()
    kept = [ResponseCache(folder).put(answer(f"from {os.getpid()}")).texts[0] for _ in range(20)]
    results.put(set(kept))


def test_many_processes_writing_at_once_agree_on_one_answer(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(4), context.Queue()
    workers = [context.Process(target=_write, args=(tmp_path, barrier, results)) for _ in range(4)]
    for worker in workers:
        worker.start()
    kept = set().union(*(results.get(timeout=60) for _ in workers))
    for worker in workers:
        worker.join()
    assert len(kept) == 1
    assert [p.name for p in tmp_path.rglob("*.json")] == [f"{answer().request.key}.json"]


def test_a_lock_is_held_by_one_at_a_time_and_leaves_nothing_once_answered(tmp_path):
    store, key, stop = ResponseCache(tmp_path), answer().request.key, threading.Event()
    inside, most = [], []

    def work():
        with store.lock(key, stop):
            inside.append(1)
            most.append(len(inside))
            store.put(answer())
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8 and list((tmp_path / "locks").iterdir()) == []


REPLAY = """
import sys
from opal.llm.api.client import Client
client = Client("fake", "http://127.0.0.1:1/v1", key_env="NO_SUCH_KEY", cache="replay", store=sys.argv[1])
[response] = client.complete([client.request(messages=({"role": "user", "content": "rows?"},))])
assert response.texts == ("hello",) and response.cached
print(sorted({"openai", "httpx", "httpx2"} & set(sys.modules)))
"""


@pytest.mark.slow
def test_replay_needs_no_endpoint_no_key_and_no_openai(tmp_path, make, ask):
    with FakeLLM() as fake:
        make(fake, store=tmp_path).complete(ask(make(fake)))
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", REPLAY, str(tmp_path)]
    assert subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_replay_tells_how_many_answers_are_missing_and_calls_nothing(make, ask):
    with FakeLLM() as fake:
        make(fake).complete(ask(make(fake), 2))
        client = make(fake, cache="replay")
        with pytest.raises(LLMError, match="3 of 5 answers of fake are not in") as caught:
            client.complete(ask(client, 5))
        assert len(caught.value.partial) == 2 and len(fake.requests) == 2


def test_off_neither_reads_nor_writes(make, ask, tmp_path):
    with FakeLLM() as fake:
        make(fake).complete(ask(make(fake)))
        before = sorted(tmp_path.rglob("*"))
        off = make(fake, cache="off")
        assert not off.complete(ask(off))[0].cached and len(fake.requests) == 2
        off.complete(ask(off, 3))
        assert sorted(tmp_path.rglob("*")) == before


def test_address_key_patience_and_concurrency_are_no_part_of_the_key(make, ask):
    with FakeLLM() as one, FakeLLM() as other:
        first = make(one, timeout=1, concurrency=1)
        second = make(other, timeout=2, concurrency=5, key_env=None, extra_body={"cache_prompt": True})
        first.complete(ask(first))
        assert second.complete(ask(second))[0].cached and other.requests == []
