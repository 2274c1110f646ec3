#!/usr/bin/env python
"""Assemble the pages of the site: docs/, README and its neighbours, and a reference from the docstrings.

    python scripts/pages.py [FOLDER]       default: build/pages

Links between the files of the repository become links between pages; those to other files go to the repository.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STUDY = "studies/oversampling"
BESIDE = {
    "README.md": "index.md",
    "CHANGELOG.md": "",
    "BENCHMARKS.md": "",
    "SECURITY.md": "",
    f"{STUDY}/report.md": "study.md",
}
REPOSITORY = "https://github.com/Xyc-arch/OPAL/blob/main"
PUBLIC = ("opal", "opal.trial", "opal.data", "opal.tasks", "opal.methods", "opal.evaluate", "opal.llm")
STYLE = """\
.md-typeset table:not([class]) { display: block; overflow-x: auto; max-width: 100%; }
@media print { .md-sidebar, .md-header, .md-footer { display: none; } .md-content { max-width: none; } }
"""
_STYLE = re.compile(r"<style.*?</style>", re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "pages"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for page in (ROOT / "docs").iterdir():
        if page.suffix == ".md":
            (folder / page.name).write_text(linked(page, "docs"), encoding="utf-8")
        elif page.suffix == ".png":
            shutil.copy(page, folder)
    for path in (ROOT / "docs" / "notebooks").glob("*.ipynb"):
        (folder / f"{path.stem}.md").write_text(relinked(notebook(path), "docs/notebooks"), encoding="utf-8")
    for picture in (ROOT / STUDY).glob("*.png"):
        shutil.copy(picture, folder)
    for name, other in BESIDE.items():
        (folder / (other or name)).write_text(linked(ROOT / name, str(Path(name).parent)), encoding="utf-8")
    (folder / "reference.md").write_text(reference(), encoding="utf-8")
    (folder / "site.css").write_text(STYLE, encoding="utf-8")
    print(f"{len(list(folder.glob('*.md')))} pages in {folder}")


def notebook(path: Path) -> str:
    """A notebook as a page, with the outputs that it is kept with; Zensical reads Markdown only."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
        for output in cell.get("outputs", ()):
            data = output.get("data", {"text/plain": output.get("text", "")})
            html = "".join(data.get("text/html", ""))
            parts.append(unstyled(html) if html else f"```text\n{''.join(data['text/plain'])}\n```")
    source = path.relative_to(ROOT).as_posix()
    return "\n\n".join([*parts, f"The notebook itself: [{path.name}]({REPOSITORY}/{source}).", ""])


def unstyled(html: str) -> str:
    """Pandas' HTML in one block: the site has its own style for tables, and an empty line would end the block."""
    plain = re.sub(r"<(table|tr)\b[^>]*>", r"<\1>", _STYLE.sub("", html))
    return "\n".join(line for line in plain.splitlines() if line.strip())


def linked(page: Path, place: str) -> str:
    """The page with its links as they must be on the site; ``place`` is its folder in the repository."""
    return relinked(page.read_text(encoding="utf-8"), place)


def relinked(text: str, place: str) -> str:
    """The same of a page's text."""

    def moved(found: re.Match[str]) -> str:
        target = (ROOT / place / found[1]).resolve()
        inside = target.relative_to(ROOT).as_posix() if target.is_relative_to(ROOT) else found[1]
        inside = re.sub(r"^docs/notebooks/(.+)\.ipynb$", r"docs/\1.md", inside)
        inside = re.sub(rf"^{STUDY}/(.+)\.png$", r"docs/\1.png", inside)
        name = BESIDE.get(inside, inside.removeprefix("docs/") if inside.startswith("docs/") else None)
        where = inside if name == "" else name or f"{REPOSITORY}/{inside}"
        return f"]({where}{found[2] or ''})"

    return _LINK.sub(moved, text)


def reference() -> str:
    """Every public name with its signature and docstring, by package."""
    parts = ["# Reference", "", "The public names, which YAMLs and records use too. Shapes, units, errors and sources."]
    for package in PUBLIC:
        module = importlib.import_module(package)
        names = [name for name in sorted(module.__all__) if not name.startswith("__")]
        parts += ["", f"## {package}", "", (inspect.getdoc(module) or "").partition("\n")[0]]
        parts += [line for name in names for line in entry(package, name, getattr(module, name))]
    return "\n".join(parts) + "\n"


def entry(package: str, name: str, thing: object) -> Iterator[str]:
    """One class or function."""
    yield from ("", f"### {name}", "")
    if callable(thing):
        yield from ("```python", f"{package}.{name}{signature(thing)}", "```", "")
    yield from formatted(inspect.getdoc(thing) or "")
    for method, function in vars(thing).items() if inspect.isclass(thing) else ():
        if not method.startswith("_") and inspect.isfunction(function) and function.__doc__:
            yield from ("", f"**{method}**`{signature(function)}`", "")
            yield from formatted(inspect.getdoc(function) or "")


def signature(thing: object) -> str:
    """Names and defaults, without annotations."""
    try:
        given = inspect.signature(thing)  # type: ignore[arg-type]
    except ValueError:
        return "(...)"
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in given.parameters.values() if p.name != "self"]
    return str(given.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def formatted(doc: str) -> Iterator[str]:
    """A docstring as Markdown: its sections as bold titles, parameters as a list, examples as code."""
    lines, titled, in_code = doc.splitlines(), False, False
    for place, line in enumerate(lines):
        after = lines[place + 1] if place + 1 < len(lines) else ""
        if in_code and not line.strip():
            in_code = False
            yield "```"
        if re.fullmatch("-{3,}", line.strip()):
            continue
        if re.fullmatch("-{3,}", after.strip()) and line.strip():
            titled = True
            yield from ("", f"**{line.strip()}**", "")
        elif line.startswith(">>> ") and not in_code:
            in_code = True
            yield from ("", "```python", line)
        elif titled and not in_code and (found := re.match(r"([\w, *`]+) : (.*)", line)):
            yield f"- `{found[1]}`: {found[2]}"
        else:
            yield line if in_code or not titled else line.replace("    ", "  ", 1)
    if in_code:
        yield "```"


if __name__ == "__main__":
    main()
