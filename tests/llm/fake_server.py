"""A FAKE OpenAI server for tests: real HTTP on 127.0.0.1, answers made up by the test, faults on demand.

    with FakeLLM(answer=lambda body: "1,2,3", script=[Status(429, retry_after=1), Reset(), "a text"]) as fake:
        client = Client(model="fake", base_url=fake.url, ...)
        ...
        fake.requests[0]["messages"]

``script`` is used up one entry a completion request, in order of arrival; then ``answer`` serves the rest. Entries
(and what ``answer`` returns) are a text, a list of texts (one a choice), ``Reply(...)`` or a fault below.
Paths: /v1/chat/completions, /v1/completions, /v1/models, /v1/files, /v1/batches. Runs alone too, for tests
that kill processes: ``python tests/llm/fake_server.py`` prints its URL and serves until killed.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """A well-formed answer: texts, finish reason, usage fields to override, seconds to wait before it."""

    texts: list[str]
    finish: str = "stop"
    usage: dict[str, Any] = field(default_factory=dict)
    delay: float = 0.0


@dataclass
class Status:
    """An error answer; ``echo_key`` puts the caller's key into the message, as careless servers do."""

    status: int
    code: str | None = None
    message: str = "the fake was told to fail"
    retry_after: float | str | None = None
    echo_key: bool = False
    param: str | None = None
    body: Any = None  # in place of OpenAI's form of an error


@dataclass
class Raw:
    """Any bytes as a body with status 200."""

    body: bytes


@dataclass
class Reset:
    """Close the connection in the middle of the body."""


@dataclass
class Drip:
    """A body that never ends: one space every ``every`` seconds."""

    every: float = 0.05


class FakeLLM:
    """A fake OpenAI endpoint on a free port of 127.0.0.1; see the module's text.

    Parameters
    ----------
    answer : ``body -> text | [texts] | Reply | fault``; n choices get the same text unless a list is given
    script : the first answers, in order
    key : the only key accepted (else 401), or None for any
    models : names known (else 404), or None for any
    rejects : fields of a request that make it a 400, e.g. ``{"response_format", "seed"}``
    max_n : the largest ``n`` accepted
    """

    def __init__(
        self,
        answer: Callable[[dict[str, Any]], Any] = lambda body: "hello",
        script: Iterable[Any] = (),
        key: str | None = None,
        models: Iterable[str] | None = None,
        rejects: Iterable[str] = (),
        max_n: int | None = None,
        port: int = 0,
    ) -> None:
        self.answer, self.script, self.key = answer, list(script), key
        self.models, self.rejects, self.max_n = models and set(models), set(rejects), max_n
        self.requests: list[dict[str, Any]] = []  # bodies of completion requests, in order of arrival
        self.headers: list[dict[str, str]] = []  # and their headers, names in lower case
        self.times: list[float] = []  # and when they came
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.batch_polls = 2  # polls until a batch is complete
        self.hold_batches = False  # no batch completes while True
        self.fail_batches = ""  # the reason why every batch fails
        self.most_enqueued = 0  # requests of a batch; a larger one fails as OpenAI's do (0: any number)
        self.more: dict[str, Callable[[dict[str, Any]], Any]] = {}  # other paths: body -> what they answer
        self.batch_faults: list[Any] = []  # Status or Reset, one for each of the first looks at a batch
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        handler = type("Handler", (_Handler,), {"fake": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self.server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def __enter__(self) -> FakeLLM:
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stopped.set()
        self.server.shutdown()
        self.server.server_close()

    def next(self, body: dict[str, Any]) -> Any:
        with self.lock:
            scripted = self.script.pop(0) if self.script else None
        return self.answer(body) if scripted is None else scripted

    def refusal(self, body: dict[str, Any]) -> Status | None:
        """The error that a strict server gives this body, if any."""
        if self.models is not None and body.get("model") not in self.models:
            return Status(404, "model_not_found", f"The model `{body.get('model')}` does not exist")
        for name in sorted(self.rejects & set(body)):
            return Status(400, "unknown_parameter", f"Unrecognized request argument supplied: {name}")
        if self.max_n and body.get("n", 1) > self.max_n:
            return Status(400, "invalid_value", f"n must be at most {self.max_n}")
        return None

    def completion(self, body: dict[str, Any], reply: Any) -> dict[str, Any]:
        """The JSON of a completion."""
        if isinstance(reply, str):
            reply = Reply([reply] * body.get("n", 1))
        elif isinstance(reply, list):
            reply = Reply(reply)
        if "input" in body:
            return self.response(body, reply)
        chat = "messages" in body
        prompt = json.dumps(body["messages"]) if chat else body["prompt"]
        choices = []
        for i, text in enumerate(reply.texts):
            content = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
            choices.append({"index": i, "finish_reason": reply.finish, "logprobs": None} | content)
        prompt_tokens, completion_tokens = len(prompt) // 4, sum(len(t) // 4 + 1 for t in reply.texts)
        usage = {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
            "prompt_tokens_details": {"cached_tokens": 0},
        }
        return {
            "id": "fake",
            "object": "chat.completion" if chat else "text_completion",
            "created": int(time.time()),
            "model": body.get("model"),
            "choices": choices,
            "usage": usage | reply.usage,
        }

    def response(self, body: dict[str, Any], reply: Reply) -> dict[str, Any]:
        """The JSON of an answer of the Responses API."""
        text = reply.texts[0]
        usage = {"input_tokens": len(json.dumps(body["input"])) // 4, "output_tokens": len(text) // 4 + 1}
        details = reply.usage.get("completion_tokens_details")
        usage |= (
            {"output_tokens": reply.usage["completion_tokens"], "output_tokens_details": details} if details else {}
        )
        message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
        cut = reply.finish == "length"
        return {
            "id": "resp_fake",
            "object": "response",
            "status": "incomplete" if cut else "completed",
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "model": body["model"],
            "output": [{"type": "reasoning", "summary": []}, *([message] if text else [])],
            "usage": usage,
        }


class _Handler(BaseHTTPRequestHandler):
    fake: FakeLLM
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else the body waits 40 ms for the head's receipt

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        fake, path = self.fake, self.path.partition("?")[0].removeprefix("/v1")
        if self.path in fake.more:
            self.send(200, fake.more[self.path]({}))
        elif path == "/models":
            names = sorted(fake.models or {"fake"})
            self.send(200, {"object": "list", "data": [{"id": n, "object": "model"} for n in names]})
        elif path == "/batches":
            self.send(200, {"object": "list", "data": list(fake.batches.values()), "has_more": False})
        elif path.startswith("/batches/") and path.rpartition("/")[2] in fake.batches:
            fault = fake.batch_faults.pop(0) if fake.batch_faults else None
            if isinstance(fault, Status):
                self.error(fault)
            elif isinstance(fault, Reset):
                self.reset()
            else:
                self.send(200, self.poll(path.rpartition("/")[2]))
        elif match := re.fullmatch(r"/files/([^/]+)/content", path):
            self.send_bytes(200, fake.files[match[1]])
        else:
            self.error(Status(404, None, f"no such path: {self.path}"))

    def do_POST(self) -> None:
        fake, path = self.fake, self.path.removeprefix("/v1")
        data = self.rfile.read(int(self.headers["Content-Length"]))
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if fake.key is not None and given != fake.key:
            self.error(Status(401, "invalid_api_key", "Incorrect API key provided", echo_key=True))
        elif self.path in fake.more:
            self.send(200, fake.more[self.path](json.loads(data)))
        elif path == "/files":
            self.upload(data)
        elif path == "/batches":
            self.create_batch(json.loads(data))
        elif path in ("/chat/completions", "/completions") or path == "/responses":
            self.complete(json.loads(data))
        else:
            self.error(Status(404, None, f"no such path: {self.path}"))

    def complete(self, body: dict[str, Any]) -> None:
        fake = self.fake
        with fake.lock:
            fake.requests.append(body)
            fake.headers.append({k.lower(): v for k, v in self.headers.items()})
            fake.times.append(time.monotonic())
        reply = fake.refusal(body) or fake.next(body)
        if isinstance(reply, Status):
            self.error(reply)
        elif isinstance(reply, Raw):
            self.send_bytes(200, reply.body)
        elif isinstance(reply, Reset):
            self.reset()
        elif isinstance(reply, Drip):
            self.head(200, 10**9)
            while not fake.stopped.wait(reply.every):
                self.wfile.write(b" ")
                self.wfile.flush()
        else:
            if isinstance(reply, Reply):
                fake.stopped.wait(reply.delay)
            self.send(200, fake.completion(body, reply))

    def reset(self) -> None:
        self.head(200, 1000)
        self.wfile.write(b'{"choices": [')
        self.wfile.flush()
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.shutdown(socket.SHUT_RDWR)

    def upload(self, data: bytes) -> None:
        boundary = re.search(r'boundary="?([^";]+)', self.headers["Content-Type"])
        assert boundary
        parts = data.split(b"--" + boundary[1].encode())
        content = next(p for p in parts if b'name="file"' in p).partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
        name = self.add_file(content)
        self.send(200, {"id": name, "object": "file", "purpose": "batch", "filename": "batch.jsonl"})

    def add_file(self, content: bytes) -> str:
        with self.fake.lock:
            name = f"file-{len(self.fake.files)}"
            self.fake.files[name] = content
        return name

    def create_batch(self, body: dict[str, Any]) -> None:
        with self.fake.lock:
            name = f"batch_{len(self.fake.batches)}"
            batch = {"id": name, "object": "batch", "status": "in_progress", "polls": 0, **body}
            self.fake.batches[name] = batch
        self.send(200, batch)

    def poll(self, name: str) -> dict[str, Any]:
        fake, batch = self.fake, self.fake.batches[name]
        batch["polls"] += 1
        if fake.hold_batches or batch["status"] != "in_progress" or batch["polls"] < fake.batch_polls:
            return batch
        if fake.fail_batches:
            errors = {"object": "list", "data": [{"code": "fake", "message": fake.fail_batches}]}
            batch |= {"status": "failed", "errors": errors}
            return batch
        good, bad = [], []
        lines = fake.files[batch["input_file_id"]].decode().splitlines()
        if fake.most_enqueued and len(lines) > fake.most_enqueued:
            why = "Enqueued token limit reached for fake: try again once some in_progress batches have been completed"
            batch |= {"status": "failed", "errors": {"data": [{"code": "token_limit_exceeded", "message": why}]}}
            return batch
        for line in lines:
            item = json.loads(line)
            with fake.lock:
                fake.requests.append(item["body"])
            reply = fake.refusal(item["body"]) or fake.next(item["body"])
            failed = isinstance(reply, Status)
            status = reply.status if failed else 200
            answer = _error_body(reply) if failed else fake.completion(item["body"], reply)
            record = {"custom_id": item["custom_id"], "response": {"status_code": status, "body": answer}}
            (bad if failed else good).append(json.dumps({"id": "x", "error": None} | record))
        batch["status"] = "completed"
        batch["output_file_id"] = self.add_file("\n".join(reversed(good)).encode()) if good else None
        batch["error_file_id"] = self.add_file("\n".join(bad).encode()) if bad else None
        return batch

    def error(self, status: Status) -> None:
        key = self.headers.get("Authorization", "") if status.echo_key else ""
        self.send(status.status, _error_body(status, key), status.retry_after)

    def send(self, status: int, body: Any, retry_after: float | str | None = None) -> None:
        self.send_bytes(status, json.dumps(body).encode(), retry_after)

    def send_bytes(self, status: int, body: bytes, retry_after: float | str | None = None) -> None:
        try:
            self.head(status, len(body), retry_after)
            self.wfile.write(body)
        except OSError:  # the client gave up first
            self.close_connection = True

    def head(self, status: int, length: int, retry_after: float | str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(length))
        if retry_after is not None:
            self.send_header("Retry-After", str(retry_after))
        self.end_headers()

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.close_connection = True


def _error_body(status: Status, key: str = "") -> Any:
    if status.body is not None:
        return status.body
    error = {"message": f"{status.message} {key}".strip(), "type": "fake", "code": status.code, "param": status.param}
    return {"error": error}


if __name__ == "__main__":
    with FakeLLM(answer=lambda body: Reply(["hello"], delay=0.1)) as served:
        print(served.url, flush=True)
        threading.Event().wait()


def shaken(body: dict) -> str:
    """FAKE model: the rows shown, their last digits changed."""
    import numpy as np

    rng = np.random.default_rng(body["seed"])
    shown = body["prompt"].rstrip("\n").split("\n")[1:]

    def shake(cell: str) -> str:
        return cell[:-1] + str(rng.integers(10)) if re.fullmatch(r"-?\d+\.\d{2,}", cell) else cell

    return "\n".join(",".join(map(shake, shown[i].split(","))) for i in rng.integers(len(shown), size=20))
