"""How a verb ends: exit status, and one sentence for a mistake that a user can mend."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from opal.errors import OpalError

FAILED, USED_WRONGLY, INTERRUPTED = 1, 2, 130  # exit status; 130 is the shell's after Ctrl-C


@contextmanager
def one_sentence() -> Iterator[None]:
    """Around a verb without Hydra.

    Raises
    ------
    SystemExit : 2 after an OpalError, 130 after Ctrl-C, 1 where nobody reads what is printed any more
    """
    try:
        with until_pipe_closes():
            yield
    except OpalError as fault:
        print(f"opal: {fault}", file=sys.stderr)
        sys.exit(USED_WRONGLY)
    except KeyboardInterrupt:
        print("opal: stopped", file=sys.stderr)
        sys.exit(INTERRUPTED)


@contextmanager
def until_pipe_closes() -> Iterator[None]:
    """Exit quietly where the reader of standard output, such as ``head``, has gone."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        with suppress(OSError, ValueError):  # so that Python's own flush at its end does not fail again
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
