"""The response store: one readable JSON file per answer, found by what was asked, kept for good.

``<folder>/ab/abcdef....json`` holds the answer to the request with that key (:attr:`Request.key`). Files are
written whole or not at all, and never changed: the first writer wins, so that replays are stable. Any number of
processes may read and write at once. Reading needs neither client nor key nor endpoint.

Beside them lie ``endpoints/`` (what each can do, :mod:`opal.llm.api.capabilities`), ``budgets/`` (what was spent,
:mod:`opal.llm.api.budget`), ``batches/`` (under way, :mod:`opal.llm.api.batch`) and ``locks/`` (requests in flight).
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from opal.atomic import write_whole
from opal.errors import LLMError
from opal.llm.api.lock import held
from opal.llm.api.messages import Request, Response
from opal.result import MADE, MADE_IF_ANY, Usage

log = logging.getLogger("opal")


class ResponseCache:
    """Answers by request, in a folder that is made on first write.

    Parameters
    ----------
    folder : path, relative to the working folder or absolute
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def path(self, key: str) -> Path:
        """Where the answer to the request with this key is, or will be."""
        return self.folder / key[:2] / f"{key}.json"

    def get(self, request: Request, empty: bool = False) -> Response | None:
        """The stored answer, with zero tokens paid; None if there is none, or if it was cut or edited.

        A record that is not what was written is set aside, with a warning: it is never served. Answers without any
        text are kept for replays alone.

        Parameters
        ----------
        empty : whether an answer without text is wanted too

        Raises
        ------
        LLMError : the file cannot be read
        """
        path = self.path(request.key)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LLMError(f"the stored answer {path} cannot be read: {error.strerror}") from error
        try:
            record = json.loads(content)
            if record["request"] != request.canonical():
                raise ValueError("it answers another request")
            if record.get("digest", digest := digest_of(record)) != digest:  # records of 0.1 have none
                raise ValueError("it was edited")
            rare = {name: int(record["usage"].get(name, 0)) for name in MADE_IF_ANY}  # earlier records have none
            usage = Usage(cache_hits=1, **rare, **{name: record["usage"][name] for name in MADE})
            texts, finish = tuple(record["texts"]), tuple(record["finish"])
            if not empty and not any(text.strip() for text in texts):
                return None
            return Response(request, texts, finish, usage, record["mode"], True, record["created"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            aside = path.with_suffix(".damaged")
            with suppress(FileNotFoundError):  # another process was first
                path.replace(aside)
                log.warning("opal: the stored answer %s is damaged (%s): set aside as %s", path, error, aside.name)
            return None

    def put(self, response: Response) -> Response:
        """Keep an answer; return the one that is kept, which is an earlier one if another writer was first."""
        usage = asdict(response.usage)
        record = {
            "texts": list(response.texts),
            "finish": list(response.finish),
            "mode": response.mode,
            "created": response.created,
            "usage": {name: usage[name] for name in (*MADE, *MADE_IF_ANY)},
            "request": response.request.canonical(),
        }
        record["digest"] = digest_of(record)
        path = self.path(response.request.key)
        if write_json(path, record, overwrite=False):
            return response
        first = self.get(response.request)
        if first is None:  # an earlier one without text
            write_json(path, record)
            return response
        paid = {n: v for n, v in usage.items() if n.startswith("paid_") or n in ("retries", "seconds")}
        return replace(first, usage=replace(first.usage, cache_hits=0, **paid), cached=False)

    @contextmanager
    def lock(self, key: str, stop: threading.Event) -> Iterator[None]:
        """Lock this key, so that no two processes pay for the same answer.

        Gives up waiting, without the lock, once ``stop`` is set.
        """
        path = self.folder / "locks" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with held(path, stop) as locked:
            try:
                yield
            finally:
                if locked and self.path(key).exists():  # the next holder of the lock looks for a stored answer first
                    path.unlink(missing_ok=True)


def digest_of(record: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of a record's content, its own ``digest`` left out."""
    content = {name: value for name, value in record.items() if name != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_json(path: Path, record: Any, overwrite: bool = True) -> bool:
    """Write ``record`` in one step; False if ``path`` exists and may not be overwritten."""
    return write_whole(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n", overwrite=overwrite)
