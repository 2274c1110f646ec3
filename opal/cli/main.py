"""The console command: ``opal VERB ...`` is ``python -m opal.VERB ...``."""

from __future__ import annotations

import shlex
import sys
from importlib import import_module
from pathlib import Path

from opal.cli.exits import INTERRUPTED, leave, until_pipe_closes
from opal.config.options import HYDRA_VERBS
from opal.garbage import collect_rarely

VERBS = {
    "look": ("what OPAL understands of a table", "opal look data=csv data.path=in.csv data.target=label"),
    "run": ("do synthetic rows help on this table?", "opal run -m data=craft method=smote,duplicate"),
    "augment": (
        "synthetic rows after your own",
        "opal augment data=csv data.path=in.csv data.target=label method=smote output=out.csv",
    ),
    "fit": (
        "the recommended action, fitted and saved as a model",
        "opal fit data=csv data.path=in.csv data.target=label output=model",
    ),
    "answer": ("what to do with the table, from recorded runs", "opal answer"),
    "compare": ("recorded runs as tables, figures, a page", "opal compare --html report.html"),
    "reproduce": ("repeat a run from its record", "opal reproduce 1a2b3c4d5e6f"),
    "export": ("copy a run to a folder", "opal export 1a2b3c4d5e6f --output run"),
    "store": ("what is stored, and its size", "opal store"),
    "split": ("a table's splits as files", "opal split data=craft output=splits"),
    "tune": ("search a classifier's settings on train rows", "opal tune data=craft classifier=random_forest"),
}


def main() -> None:
    """Run the verb named first; without one, list all verbs. Exit status 2 for an unknown verb."""
    try:
        with until_pipe_closes():
            start(*(sys.argv[1:] or ["--help"]))
    except KeyboardInterrupt:  # while Python loads
        leave("stopped", INTERRUPTED)


def start(verb: str, *rest: str) -> None:
    """Run ``verb``, or answer a question about verbs."""
    if verb in HYDRA_VERBS and {"--help", "-h"} & set(rest):
        from opal.cli.verb_help import help_of

        print(help_of(verb, list(rest)))
    elif verb in VERBS:
        collect_rarely()
        sys.argv[:2] = [f"opal {verb}"]
        import_module(f"opal.{verb}").main()
    elif verb in ("--help", "-h"):
        print(usage())
    elif verb == "--version":
        import opal

        print(f"opal {opal.__version__}")
    elif verb == "--complete":
        from opal.cli.completion import candidates

        print("\n".join(candidates(list(rest), list(VERBS))))
    elif verb == "completion" and len(rest) == 1:
        from opal.cli.completion import SHELLS

        if rest[0] not in SHELLS:
            leave(f"no completion for {rest[0]}; shells: {', '.join(SHELLS)}")
        print(SHELLS[rest[0]])
    elif verb == "completion":
        leave('name the shell: eval "$(opal completion bash)", or zsh, or fish')
    elif Path(verb).is_file():
        leave(about_file(verb))
    else:
        from opal.config.options import nearest

        best = nearest(verb, VERBS)
        leave(f"{verb} is not a verb" + (f"; did you mean {best}?" if best else f"; verbs: {', '.join(VERBS)}"))


def about_file(path: str) -> str:
    """What to type for a table: a file stands where a verb should be."""
    from opal.data.parse import parse_file
    from opal.errors import OpalError

    try:
        names = [str(name) for name in parse_file(Path(path)).columns]
    except OpalError as fault:
        return str(fault)
    look = shlex.join(["opal", "look", "data=csv", f"data.path={path}", f"data.target={names[-1]}"])
    return f"{path} is a table, not a verb: {look} (data.target is the column to predict: {', '.join(names[:20])})"


def usage() -> str:
    """The verbs, each with an example."""
    lines = [f"  {name:<10} {text}\n  {'':<10}   {example}" for name, (text, example) in VERBS.items()]
    after = [
        "For a table of yours: opal FILE says what to type next.",
        'opal VERB --help says more. Completion: eval "$(opal completion bash)", or zsh, or fish.',
    ]
    return "\n".join(["usage: opal VERB [key=value ...]", "", *lines, "", *after])


if __name__ == "__main__":
    main()
