"""Completion in the shell: ``eval "$(opal completion bash)"``, or zsh, or fish.

Hydra brings its own, which knows neither verbs nor sweeps (``method=llm,s``) and composes a configuration at every
keystroke, more than a second here. This one reads file names and one or two YAML files.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from opal.config.options import HYDRA_VERBS, Options

# Bash cuts words at = and :, so the line is split here, and only what follows the last of them is inserted.
BASH = r"""_opal() {
    local line="${COMP_LINE:0:$COMP_POINT}" word before
    local -a words
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    word="${words[${#words[@]}-1]}"
    before="${word%"${word##*[=:]}"}"
    mapfile -t COMPREPLY < <(opal --complete "${words[@]:1}" 2>/dev/null)
    COMPREPLY=("${COMPREPLY[@]#"$before"}")
    if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[=./] ]]; then compopt -o nospace; fi
}
complete -F _opal opal
"""
ZSH = r"""_opal() {
    local -a found more
    found=("${(@f)$(opal --complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    more=(${(M)found:#*[=./]})
    found=(${found:#*[=./]})
    compadd -Q -S '' -- $more
    compadd -Q -- $found
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i; }
compdef _opal opal
"""
FISH = r"""complete -c opal -f -a '(opal --complete (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
"""
SHELLS = {"bash": BASH, "zsh": ZSH, "fish": FISH}

HYDRA_FLAGS = ["--help", "--multirun", "--config-dir", "--cfg"]
FREE = {"compare": ["data", "task", "method", "classifier", "llm", "prompt", "curate"]}  # verbs that select runs


def candidates(words: Sequence[str], verbs: Sequence[str]) -> list[str]:
    """Completions of the last of ``words`` (those after ``opal``), as whole words."""
    *typed, word = words or [""]
    if not typed:
        return _beginning(word, [*verbs, "completion", "--help"])
    verb = typed[0]
    if verb == "completion":
        return _beginning(word, list(SHELLS))
    if verb not in verbs:
        return []
    if word.startswith("-"):
        return _beginning(word, HYDRA_FLAGS if verb in HYDRA_VERBS else _flags(verb))
    if typed[-1].startswith("--") and not word.count("="):
        return _files(word)
    if verb == "store":
        return _beginning(word, ["size", "prune", "log"])
    if verb not in HYDRA_VERBS and verb not in FREE:
        return _files(word)
    options = Options(verb if verb in HYDRA_VERBS else "run", typed[1:])
    groups = FREE.get(verb, options.groups)
    key, is_, value = word.partition("=")
    if not is_:
        return _names(word, options, groups, verb in HYDRA_VERBS)
    if key in groups:
        done, _, last = value.rpartition(",")
        return [f"{key}={done}{',' * bool(done)}{name}" for name in _beginning(last, options.options(key))]
    if isinstance(options.keys.get(key), bool):
        return [f"{key}={name}" for name in _beginning(value, ["true", "false"])]
    return [f"{key}={path}" for path in _files(value)]


def _names(word: str, options: Options, groups: Sequence[str], keys: bool) -> list[str]:
    """Groups and keys; those within a section only once its dot is typed."""
    found = [f"{group}=" for group in groups]
    if keys:
        depth = word.count(".")
        found += [
            f"{name}." if isinstance(value, Mapping) and value else f"{name}="
            for name, value in options.keys.items()
            if name.count(".") == depth
        ]
        if not depth:
            found += [f"{group}." for group in groups if any(name.startswith(f"{group}.") for name in options.keys)]
    return _beginning(word, sorted(set(found)))


def _flags(verb: str) -> list[str]:
    usage = importlib.import_module(f"opal.{verb}").parser().format_help()
    return sorted({*re.findall(r"^ +(?:-\w, )?(--[\w-]+)", usage, re.MULTILINE)})


def _files(word: str) -> list[str]:
    """Files and folders whose path begins with ``word``; a folder ends in a slash."""
    folder, _, name = word.rpartition("/")
    base = Path(folder or ("/" if word.startswith("/") else ".")).expanduser()
    found = sorted(base.glob("*")) if base.is_dir() else []
    before = word[: len(word) - len(name)]
    shown = [p for p in found if p.name.startswith(name) and (name or not p.name.startswith("."))]
    return [f"{before}{p.name}{'/' * p.is_dir()}" for p in shown]


def _beginning(word: str, names: Sequence[str]) -> list[str]:
    return [name for name in names if name.startswith(word)]
