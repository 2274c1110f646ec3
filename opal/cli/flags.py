"""Mistyped flags: one sentence in place of argparse's usage."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Collection, Sequence
from typing import NoReturn

from opal.cli.exits import leave
from opal.config.options import nearest


class Parser(argparse.ArgumentParser):
    """The command line of a verb that takes flags.

    Parameters
    ----------
    description : the docstring of the verb's module
    settings : gives the names that may stand before ``=``, where the verb takes such words too
    """

    def __init__(self, verb: str, description: str | None, settings: Callable[[], Collection[str]] = tuple) -> None:
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(f"opal {verb}", description=description, formatter_class=formatter, allow_abbrev=False)
        self.settings = settings

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and exit."""
        said = sentence(message, self._option_string_actions, self.settings(), sys.argv[1:], self.prog)
        leave(said)


def sentence(
    message: str, flags: Collection[str], settings: Collection[str], typed: Sequence[str], help_of: str
) -> str:
    """argparse's ``message`` as one clear sentence, with the nearest valid word.

    Parameters
    ----------
    flags : all valid ones, dashes included
    settings : what may stand before ``=``, without dashes
    typed : the words of the command line
    help_of : the command whose ``--help`` explains more
    """
    if unknown := re.match(r"unrecognized arguments: (.*)", message):
        return _unknown(unknown[1].split(), flags, settings, typed, help_of)
    if needed := re.match(r"the following arguments are required: (.*)", message):
        return f"{help_of} needs {needed[1].replace(', ', ' and ')}: {help_of} --help says what that is"
    if wrong := re.match(r"argument ([^:/]+)[^:]*: (.*)", message):
        name, reason = wrong.groups()
        if choice := re.match(r"invalid choice: '?([^']*)'? \(choose from (.*)\)", reason):
            known = choice[2].replace("'", "").split(", ")
            best = nearest(choice[1], known)
            return f"{name} {choice[1]} is not one of {', '.join(known)}" + (f"; did you mean {best}?" if best else "")
        if reason.startswith("expected"):
            return f"{name} needs a value after it: {help_of} --help says which"
        return f"{name}: {reason}"
    return message


def _unknown(
    words: Sequence[str], flags: Collection[str], settings: Collection[str], typed: Sequence[str], help_of: str
) -> str:
    word = next((w for w in words if w.startswith("-")), None)
    if word is None and "=" not in words[0]:
        return f"{words[0]} is one word too many: {help_of} --help shows what it takes"
    if word is None:  # argparse takes settings from one place only
        return f"{words[0]} stands apart from the other settings: write flags such as -m before or after all of them"
    name, is_, value = word.lstrip("-").partition("=")
    if not is_:  # --method smote
        after = [*typed, "-"][[*typed, word].index(word) + 1 :]
        value = after[0] if after and not re.match("-|.*=", after[0]) else "VALUE"
    if name in settings:
        return f"{word} begins with dashes, which settings do not: write {name}={value}"
    right = {flag.lstrip("-"): flag for flag in flags if flag.startswith("--")} | {s: f"{s}={value}" for s in settings}
    best = nearest(name, right)
    mend = f"did you mean {right[best]}?" if best else f"{help_of} --help lists them"
    return f"{word} is not a flag; {mend}"
