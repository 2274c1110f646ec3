"""Clients of a fake server, with quick retries and a store of their own."""

from __future__ import annotations

import pytest

from opal.llm.api.client import Client

KEY = "sk-test-5e07d8a1"
ALL = {"json_schema": True, "json_object": True, "grammar": "llguidance", "seed": True, "n": True}


@pytest.fixture
def make(tmp_path, monkeypatch):
    """``make(fake, **fields) -> Client``"""
    monkeypatch.setenv("TEST_KEY", KEY)

    def make(fake, **fields):
        defaults = {"model": "fake", "base_url": fake and fake.url, "key_env": "TEST_KEY", "supports": ALL}
        defaults |= {"timeout": 10, "retries": 2, "backoff": 0.01, "store": tmp_path / "store"}
        return Client(**(defaults | fields))

    return make


@pytest.fixture
def ask():
    """``ask(client, count, **fields) -> [Request]`` that differ in their draw."""

    def ask(client, count=1, **fields):
        message = {"role": "user", "content": "rows?"}
        return [client.request(messages=(message,), draw=i, **fields) for i in range(count)]

    return ask
