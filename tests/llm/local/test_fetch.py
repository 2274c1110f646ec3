"""Weights from an address: downloaded once, verified, kept; with Hugging Face's own digest where none is given."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from opal.config.build import CONF, compose
from opal.errors import ConfigError, LLMError
from opal.llm.local import weights
from opal.llm.local.server import LocalServer

MODEL = b"GGUF" + bytes(range(256)) * 40
SHA = hashlib.sha256(MODEL).hexdigest()
HUB = "/owner/tiny-GGUF/resolve/main/tiny-q4.gguf"


class Handler(BaseHTTPRequestHandler):
    """Two addresses of one file; the first answers as Hugging Face does: the digest, and where the file lies."""

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, with_body: bool) -> None:
        server = self.server
        server.asked.append((self.command, self.path, self.headers.get("Authorization", "")))
        if self.path == HUB:
            self.send_response(302)
            self.send_header("Location", "/cdn/tiny.gguf")
            if server.names_digest:
                self.send_header("X-Linked-ETag", f'"{SHA}"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        found = self.path == "/cdn/tiny.gguf"
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(server.content) if found else 0))
        self.end_headers()
        if found and with_body:
            self.wfile.write(server.content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def hub(tmp_path, monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.content, server.names_digest = [], MODEL, True
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr(weights, "_cache", lambda: tmp_path / "cache")
    yield server
    server.shutdown()
    server.server_close()


def test_a_file_of_hugging_face_is_fetched_once_and_verified(hub):
    name = "hf:owner/tiny-GGUF/tiny-q4.gguf"
    assert weights.identity(name) == LocalServer(weights=name).model == f"tiny-q4@sha256:{SHA[:12]}"
    assert [method for method, _, _ in hub.asked] == ["HEAD"]  # the digest alone
    path = weights.locate(name)
    assert path.read_bytes() == MODEL and path.name == "tiny-q4.gguf"
    asked = len(hub.asked)
    assert weights.locate(name) == path and weights.identity(name) and len(hub.asked) == asked
    assert hub.asked[0][2] == "Bearer hf_secret"


def test_an_address_comes_with_its_digest_and_gets_no_token(hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    address = f"{hub.url}/cdn/tiny.gguf#sha256={SHA.upper()}"
    assert weights.identity(address) == f"tiny@sha256:{SHA[:12]}" and hub.asked == []
    assert weights.locate(address).read_bytes() == MODEL
    assert hub.asked[-1][2] == ""


def test_another_file_is_not_kept(hub, tmp_path):
    hub.content = b"GGUF" + b"something else"
    with pytest.raises(LLMError, match="holds another file than that SHA-256 names"):
        weights.locate(f"{hub.url}/cdn/tiny.gguf#sha256={SHA}")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "option", [p.stem for p in Path(CONF, "llm").glob("*.yaml") if "weights: hf:" in p.read_text()]
)
def test_a_named_model_is_known_before_it_is_fetched_and_held_to_its_digest(option, hub):
    llm = compose("data=craft", "method=llm", f"llm={option}")["llm"]
    place, _, digest = llm["server"]["weights"].removeprefix("hf:").partition("#sha256=")
    owner, name, file = place.split("/")
    assert weights.identity(llm["server"]["weights"]) == f"{file.removesuffix('.gguf')}@sha256:{digest[:12]}"
    assert hub.asked == [] and llm["api"] == "chat"
    with pytest.raises(LLMError, match=f"{file} cannot be fetched"):  # not on this server, whose log shows the address
        weights.locate(llm["server"]["weights"])
    assert hub.asked[-1][1] == f"/{owner}/{name}/resolve/main/{file}"


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ("https://example.org/m.gguf", ConfigError, "needs the file's SHA-256"),
        ("https://example.org/m.gguf#sha256=12", ConfigError, "64 hex digits"),
        ("hf:owner/m.gguf", ConfigError, "hf:OWNER/NAME/FILE.gguf"),
        ("hf:owner/other/m.gguf", LLMError, r"cannot be asked \(HTTP 404\)"),
        ("no/such.gguf", LLMError, "is not a file"),
    ],
)
def test_one_sentence_says_what_is_wrong(given, kind, words, hub):
    with pytest.raises(kind, match=words):
        weights.identity(given)


def test_a_server_that_is_down_or_names_no_digest(hub, monkeypatch):
    hub.names_digest = False
    with pytest.raises(LLMError, match="names no SHA-256; give it behind #sha256="):
        weights.identity("hf:owner/tiny-GGUF/tiny-q4.gguf")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(LLMError, match="cannot be fetched"):
        weights.locate(f"hf:owner/tiny-GGUF/tiny-q4.gguf#sha256={SHA}")


def test_what_comes_must_be_gguf(hub):
    hub.content = b"<html>"
    digest = hashlib.sha256(hub.content).hexdigest()
    with pytest.raises(LLMError, match="is not a GGUF file"):
        weights.locate(f"{hub.url}/cdn/tiny.gguf#sha256={digest}")
