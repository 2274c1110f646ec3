"""Random cells, settings, tables and configurations for `scripts/fuzz.py`."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import yaml

CELLS = [
    "", " ", "0", "1", "-1", "1.5", "1,5", "1e999", "-1e308", "nan", "inf", "NaN", "NULL", "?", "-", "k.A.",
    "#N/A", "yes", "Yes ", "no", "2024-01-31", "31.01.2024", "12:30", "1.234,5", "(12)", "€ 3", "50 %", "=1+1",
    "@x", "+1", "ü", "日本", "a\tb", "say \"hi\"", "a,b", "a;b", "line\nbreak", "\x00", "\ufeff", "x" * 5000,
    "9" * 40, "true", "0x10", "1_000", "١٢",
]  # fmt: skip
VALUES = [
    "", "null", "true", "false", "0", "-1", "1", "3.5", "1e9", "-.inf", ".nan", "text", "[]", "[1,2]", "[a,b]",
    "{}", "{a: 1}", "'quoted'", "${seeds}", "${nothing}", "${oc.env:HOME}", "???", "../x", "/dev/null", "ü",
    "[1,[2]]", "{a: {b: 1}}", "1:2", "[", "}", "a=b", "a b", "$x", "%", "100000000000000000000", "[1,1]",
    "auto", "none",
]  # fmt: skip


def table_bytes(rng: random.Random) -> bytes:
    columns = rng.choice([1, 2, 3, 5, 8, 300])
    rows = rng.choice([0, 1, 2, 5, 30, 80])
    separator = rng.choice([",", ";", "\t", "|"])
    pools = [rng.sample(CELLS, rng.randint(1, 4)) if rng.random() < 0.5 else None for _ in range(columns)]
    names = [
        rng.choice(["y", "c0", "c1", "", " ", "name/slash", "日本", "a b"]) if rng.random() < 0.03 else f"c{i}"
        for i in range(columns)
    ]
    names[-1] = "y" if rng.random() < 0.8 else names[-1]
    lines = [separator.join(names)]
    for _ in range(rows):
        cells = [rng.choice(pool) if pool else f"{rng.gauss(0, 10):.{rng.randint(0, 3)}f}" for pool in pools]
        cells[-1] = rng.choice("ab") if rng.random() < 0.995 else cells[-1]
        quoted = [
            '"' + c.replace('"', '""') + '"' if set(c) & set(',;\t|"\n') and rng.random() < 0.9 else c for c in cells
        ]
        quoted = quoted[: rng.randint(1, columns)] if rng.random() < 0.01 else quoted
        lines.append(separator.join(quoted))
    text = rng.choice(["\n", "\n", "\r\n", "\r"]).join(lines) + rng.choice(["", "\n"])
    content = text.encode(rng.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "cp1252"]), errors="replace")
    return damaged(content, rng) if rng.random() < 0.3 else content


def damaged(content: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, left out, or repeated."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 5)):
        at = rng.randrange(len(changed) + 1)
        what = rng.random()
        if what < 0.4 and changed:
            changed[at % len(changed)] = rng.randrange(256)
        elif what < 0.6:
            del changed[at : at + rng.randint(1, 50)]
        elif what < 0.8:
            changed[at:at] = bytes(rng.choice([b"\x00", b'"', b"\xff", b",", b"\n", b"{", b"PK\x03\x04", b"\x1f\x8b"]))
        else:
            changed = changed[:at]
    return bytes(changed)


def change(node: Any, rng: random.Random) -> None:
    """Change one value somewhere in a configuration."""
    while isinstance(node, dict) and node:
        key = rng.choice(list(node))
        if isinstance(node[key], dict) and node[key] and rng.random() < 0.7:
            node = node[key]
            continue
        values: list[Any] = [
            None,
            0,
            -1,
            2.5,
            "x",
            [],
            {},
            [1, "a"],
            {"a": 1},
            True,
            "os.system",
            "${oc.env:HOME}",
            10**30,
        ]
        if rng.random() < 0.2:
            del node[key]
        elif rng.random() < 0.2:
            node[rng.choice(["_target_", "_partial_", "_args_", "extra", key])] = rng.choice(
                [*values, "pandas.read_pickle"]
            )
        else:
            node[key] = rng.choice(values)
        return


def damage_run(run: Path, rng: random.Random) -> None:
    """Change the configuration of an exported run, or another of its files."""
    if rng.random() < 0.6:
        path = run / "artifacts" / "config.yaml"
        config = yaml.safe_load(path.read_text())
        for _ in range(rng.randint(1, 3)):
            change(config, rng)
        path.write_text(yaml.safe_dump(config, sort_keys=False))
    else:
        path = rng.choice(sorted(p for p in run.rglob("*") if p.is_file()))
        path.write_bytes(damaged(path.read_bytes(), rng))
