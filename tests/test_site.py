"""The documentation's site: built without a network, no broken link, on a phone and in the dark, with a reference."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # builds the whole site


@pytest.fixture(scope="module")
def pages(root, tmp_path_factory):
    """The pages, assembled."""
    pytest.importorskip("zensical")
    folder = tmp_path_factory.mktemp("pages")
    subprocess.run([sys.executable, root / "scripts" / "pages.py", folder], check=True, capture_output=True)
    return folder


def build(root: Path, pages: Path, folder: Path, added: str = "") -> subprocess.CompletedProcess[str]:
    """Build the site in ``folder``; its first page has some text ``added``."""
    shutil.copy(root / "mkdocs.yml", folder)
    shutil.copytree(pages, folder / "build" / "pages")
    with (folder / "build" / "pages" / "start.md").open("a") as page:
        page.write(added)
    tool = Path(sys.executable).with_name("zensical")
    return subprocess.run([tool, "build", "--strict"], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(root, pages, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = build(root, pages, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "build" / "site"


def test_every_page_is_there_and_every_picture(site, root):
    for page in (root / "docs").glob("*.md"):
        html = (site / f"{page.stem}.html").read_text()
        assert all((site / picture).is_file() for picture in re.findall(r'<img[^>]* src="([^":]+)"', html))
    assert "whether synthetic rows help" in (site / "index.html").read_text()
    nav = (root / "mkdocs.yml").read_text()
    assert not [p.name for p in (root / "docs").glob("*.md") if p.name not in nav], "a page is not in mkdocs.yml"
    assert "unpkg.com" not in (site / "index.html").read_text()  # nothing from elsewhere


def test_the_reference_has_signatures_parameters_and_errors(site):
    text = re.sub(r"<[^>]+>", "", (site / "reference.html").read_text())
    for words in ("OpalClassifier", "load_csv", "Smote", "tuned_threshold", "Parameters", "Raises", "Chawla et al."):
        assert words in text
    assert "-----" not in text and "k_neighbors=5" in text.replace(" ", "")


@pytest.mark.parametrize("bad", ["\n[lost](nowhere.md)\n", "\n[lost](answer.md#nowhere)\n"])
def test_a_broken_link_is_an_error(root, pages, tmp_path, bad):
    assert build(root, pages, tmp_path, bad).returncode != 0


@pytest.fixture
def address(site):
    handler = partial(SimpleHTTPRequestHandler, directory=str(site))
    handler.log_message = lambda *given: None  # type: ignore[attr-defined]
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def reader(browser):
    """The browser that other tests share, given back as it was."""
    size = browser.get_window_size()
    yield browser
    browser.set_window_size(size["width"], size["height"])
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


@pytest.mark.parametrize("page", ["index", "gallery", "reference", "providers"])
def test_a_phone_needs_no_sideways_scrolling(address, reader, page):
    reader.set_window_size(400, 900)
    reader.get(f"{address}/{page}.html")
    width, window = reader.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert width <= window
    assert not [line for line in reader.get_log("browser") if line["level"] == "SEVERE"]


def test_it_is_dark_where_the_reader_is(address, reader):
    def background(scheme: str) -> int:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        reader.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen", "features": features})
        reader.get(f"{address}/index.html")
        reader.execute_script("localStorage.clear(); location.reload()")
        color = reader.execute_script("return getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", color)[:3]))

    assert background("light") > 600 > 300 > background("dark")
