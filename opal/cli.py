"""The console command: ``opal VERB ...`` is ``python -m opal.VERB ...``."""

from __future__ import annotations

import runpy
import sys

VERBS = {
    "run": "run trials: opal run -m method=llm,smote data=craft",
    "augment": "synthetic rows beneath a table: opal augment data=csv data.path=in.csv data.target=y output=out.csv",
    "reproduce": "repeat a run from its record: opal reproduce 1a2b3c4d5e6f",
    "compare": "recorded runs as tables, figures and a page: opal compare --html report.html",
    "export": "copy a run to a folder: opal export 1a2b3c4d5e6f --output run",
    "store": "size of what is kept; log what waits: opal store",
    "split": "write the splits of a table as files: opal split data=craft output=splits",
    "tune": "search a classifier's settings on train rows: opal tune classifier=catboost",
}


def main() -> None:
    """Run the verb named first; without one, list them."""
    verb = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if verb not in VERBS:
        lines = [f"  {name:<10} {text}" for name, text in VERBS.items()]
        print("usage: opal VERB [key=value ...]", *lines, sep="\n")
        sys.exit(verb not in ("--help", "-h"))
    sys.argv[:2] = [f"opal {verb}"]
    runpy.run_module(f"opal.{verb}", run_name="__main__")
