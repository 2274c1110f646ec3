"""What may follow a verb, read from the YAML files: groups, their options, the keys of both.

Imports little, since completion must answer a keystroke; Hydra itself decides what is valid.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from opal.config.keys import ignored

# absolute, so that a checkout, an editable install and a wheel find the same files
_BESIDE, _INSIDE = Path(__file__).parents[2] / "conf", Path(__file__).parents[1] / "conf"
CONF = str(_INSIDE if _INSIDE.is_dir() else _BESIDE)

HYDRA_VERBS = ("run", "augment", "fit", "split", "tune", "look")  # each starts from the YAML of its name
GLOBAL = "# @package _global_"


class Options:
    """The command line of one verb.

    Parameters
    ----------
    verb : one of HYDRA_VERBS
    typed : the words so far; they choose options (``data=csv``) and add folders (``--config-dir DIR``)
    """

    def __init__(self, verb: str, typed: Sequence[str] = ()) -> None:
        self.verb = verb
        self.folders = [Path(CONF), *_folders(typed)]
        self.keys: dict[str, Any] = {}  # every key with its value; sections with a mapping
        self.chosen: dict[str, list[str]] = {}
        self._read(verb, "")
        given = (word.lstrip("+").partition("=") for word in typed)
        self.chosen |= {name: value.split(",") for name, _, value in given if name in self.groups}
        for name in list(self.chosen):
            if (same := self.chosen[name][0]).startswith("${"):  # - space: ${classifier}
                self.chosen[name] = self.chosen.get(same[2:-1], [])
            for option in self.chosen[name]:
                self._read(f"{name}/{option}", name)

    @property
    def groups(self) -> list[str]:
        """The groups that the verb knows."""
        return sorted(group for group in self.chosen if not ignored(self.verb, group))

    def options(self, group: str) -> list[str]:
        """The options of ``group``, those of further folders included."""
        return sorted({path.stem for folder in self.folders for path in (folder / group).glob("*.yaml")})

    def names(self) -> list[str]:
        """Everything that may stand before ``=``."""
        names = {*self.groups, *self.keys, "hydra/launcher"}
        return sorted(name for name in names if not ignored(self.verb, name))

    def _read(self, name: str, package: str) -> None:
        """Add the keys of a YAML and of those that its defaults name; a missing or broken one has none."""
        import yaml

        path = next((p for folder in self.folders if (p := folder / f"{name}.yaml").is_file()), None)
        if path is None:
            return
        text = path.read_text(encoding="utf-8")
        try:
            content = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
        except yaml.YAMLError:
            return
        for default in content.pop("defaults", []):
            if isinstance(default, Mapping):
                for group, option in default.items():
                    self.chosen[str(group).removeprefix("override /")] = [str(option)]
            elif default != "_self_":
                self._read(str(Path(name).with_name(default)), package)
        self.keys |= dict(_flat(content, "" if text.startswith(GLOBAL) else package))


def unknown_key(setting: str, verb: str, typed: Sequence[str]) -> str:
    """The sentence about an unknown key in ``KEY=VALUE``, with the nearest known one."""
    key = setting.partition("=")[0]
    options = Options(verb, typed)
    group = key.partition(".")[0]
    keys = [name for name in options.keys if name.startswith(f"{group}.")]
    if "." not in key or not (keys or group in options.chosen):
        best = nearest(key, options.names())
        return f"{key} is not a key; " + (f"did you mean {best}?" if best else f"opal {verb} --help shows them")
    if key in keys and group not in options.chosen:
        return f"{key} is a key of {group}, which another setting replaces as a whole: remove one of the two"
    if key in keys:  # some option of the sweep has it
        having = {o: key in Options(verb, [*typed, f"{group}={o}"]).keys for o in options.chosen[group]}
        if all(having.values()):
            return f"{setting} names keys that {key} has not: +{key}.NAME=VALUE adds one"
        lack, have = (f"{group}=" + ",".join(o for o in having if having[o] is has) for has in (False, True))
        return f"{key} is not a key of {lack}: sweep {have} in a command of its own"
    best = nearest(key, keys)
    guess = f"did you mean {best}?" if best else f"its keys: {', '.join(keys) or 'none'}"
    owner = f"{group}={','.join(options.chosen[group])}" if group in options.chosen else group
    return f"{key} is not a key of {owner}; {guess} (+{setting} adds what its YAML leaves out)"


def nearest(word: str, known: Iterable[str]) -> str:
    """The word in ``known`` closest to ``word``, or ""."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1)), "")


def _flat(node: Mapping[Any, Any], package: str) -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        name = f"{package}.{key}" if package else str(key)
        if str(key).startswith("_") or name == "hydra":
            continue
        yield name, value
        if isinstance(value, Mapping):
            yield from _flat(value, name)


def _folders(typed: Sequence[str]) -> list[Path]:
    """What ``--config-dir DIR`` and ``hydra.searchpath=[file://DIR]`` add."""
    line = "\0".join(typed)
    found = re.findall(r"(?:^|\0)(?:--config-dir|-cd)(?:\0|=)([^\0]+)", line)
    return [Path(f).expanduser() for f in found + re.findall(r"file://([^\0,\]]+)", line)]
