"""Several requests at once, until all are answered or the endpoint is out of service."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

from opal.errors import ConfigError, LLMError
from opal.llm.api.messages import Request, Response

GIVE_UP = 5  # requests in a row that failed after all their retries: the endpoint is out of service
Answer = Callable[[Request, threading.Event], Response]


def at_once(requests: Mapping[int, Request], answer: Answer, concurrency: int) -> Iterator[tuple[int, Response]]:
    """Responses by index, as they arrive, from ``concurrency`` threads.

    Parameters
    ----------
    answer : gives a response, without texts where the request failed; the event tells it to stop waiting

    Raises
    ------
    LLMError, ConfigError : what ``answer`` raised first; other requests in flight are waited for, no more are begun
    """
    stop, in_a_row = threading.Event(), 0
    fatal: LLMError | ConfigError | None = None

    def one(request: Request) -> Response:
        try:
            return answer(request, stop)
        except Exception:  # a full disk too; set by the thread itself, before it begins another request
            stop.set()
            raise

    with ThreadPoolExecutor(concurrency, thread_name_prefix="opal-llm") as pool:
        jobs: dict[Future[Response], int] = {pool.submit(one, r): i for i, r in requests.items()}
        try:
            for job in as_completed(jobs):
                try:
                    response = job.result()
                except (LLMError, ConfigError) as error:
                    fatal = fatal or error
                    continue
                in_a_row = 0 if response.texts else in_a_row + 1
                if in_a_row >= GIVE_UP:
                    stop.set()
                if fatal is None or response.texts:
                    yield jobs[job], response
        finally:  # also on Ctrl-C: what is in flight is waited for and stored, the rest is not begun
            stop.set()
    if fatal is not None:
        raise fatal
