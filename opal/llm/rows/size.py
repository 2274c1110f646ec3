"""The size of requests where rows are long: rows per answer, answers at once, and their time."""

from __future__ import annotations

import math

from opal.errors import ConfigError

LONG_ROW = 250  # tokens; shorter rows are asked for as the prompt says
LONG_ANSWER = 8000  # tokens, above which an endpoint is asked for fewer rows in one answer
READ, WRITE = 200, 40  # tokens a second of the embedded model on two slow cores, ten long answers at once
LONG = 150  # seconds, above which the time is announced


def rows_an_answer(wanted: int, row_tokens: int, local: bool) -> int:
    """Rows to ask for in one answer, ``wanted`` or fewer.

    A model on this machine writes ten short answers at once up to 1.6 times faster than five of twice the length.
    """
    if row_tokens <= LONG_ROW:
        return wanted
    return 1 if local else max(1, min(wanted, LONG_ANSWER // row_tokens))


def check_room(prompt_tokens: int, answer_tokens: int, context: int, columns: int) -> None:
    """Raise ConfigError if a request with one example and one row is more than the context of the model holds."""
    needed = prompt_tokens + answer_tokens
    if needed > context:
        raise ConfigError(
            f"llm.server.context={context} is too small for {columns} columns: one example and one new row are about "
            f"{needed} tokens; raise it to {2 ** math.ceil(math.log2(needed))} or more (if the model was trained on as "
            "many), or leave columns out (data.drop)"
        )


def minutes(prompt_tokens: int, answer_tokens: int) -> str:
    """``"about 14 minutes"``: what an embedded model on slow cores may take; empty if that is short."""
    seconds = prompt_tokens / READ + answer_tokens / WRITE
    if seconds < LONG:
        return ""
    return f"about {seconds / 60:.0f} minutes" if seconds < 7200 else f"about {seconds / 3600:.0f} hours"
