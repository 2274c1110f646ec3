"""How a verb ends: exit status, and one sentence for a mistake that a user can mend."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from opal.errors import OpalError
from opal.garbage import collect_rarely

FULL = "no space is left on the disk: free some, and the same command goes on from there"
FAILED, USED_WRONGLY, INTERRUPTED = 1, 2, 130  # exit status; 130 is the shell's after Ctrl-C
PATHS = {  # a path that cannot be read or written: the user's to mend
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST),
    *(errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP),
}


def leave(sentence: str, status: int = USED_WRONGLY) -> NoReturn:
    """Print what is wrong, or why it ends, and exit."""
    print(f"opal: {sentence}", file=sys.stderr)
    sys.exit(status)


@contextmanager
def one_sentence() -> Iterator[None]:
    """Around a verb without Hydra.

    Raises
    ------
    SystemExit : 2 after an OpalError, 130 after Ctrl-C, 1 on a full disk or where nobody reads what is printed any more
    """
    collect_rarely()
    try:
        with until_pipe_closes():
            yield
    except OpalError as fault:
        leave(str(fault))
    except KeyboardInterrupt:
        leave("stopped", INTERRUPTED)
    except OSError as fault:
        leave_for_system(fault)


def leave_for_system(fault: OSError) -> NoReturn:
    """Say in one sentence what the operating system refused; raise ``fault`` where that may be a fault of OPAL's."""
    if disk_full(fault):
        leave(FULL, FAILED)
    if fault.errno in PATHS and fault.filename:
        leave(f"{fault.filename2 or fault.filename}: {fault.strerror}")
    raise fault


def disk_full(fault: BaseException) -> bool:
    """Whether a file could not be written since the disk, or the user's share of it, is full."""
    return isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT)


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
