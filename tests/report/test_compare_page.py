"""The figures of a comparison, and its page in headless Chromium."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from opal.compare import main

FIGURES = {"contamination", "cost", "critical_difference", "curves", "funnel", "worst_group"}


@pytest.fixture(scope="module")
def figures(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    main(["--uri", store.uri, "--figures", str(folder), "--format", "csv"])
    return folder


@pytest.fixture(scope="module")
def page(store, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    main(["--uri", store.uri, "--html", str(path), "--ui", "http://127.0.0.1:5001/", "--format", "csv"])
    return path


@pytest.mark.slow
def test_every_figure_is_vector_and_holds_its_text(figures):
    assert {p.stem for p in figures.glob("*.svg")} == {p.stem for p in figures.glob("*.pdf")} == FIGURES
    for path in figures.glob("*.svg"):
        text = path.read_text()
        assert "<image" not in text and "<text" in text
        ET.fromstring(text)
    curves = (figures / "curves.svg").read_text()
    for word in ("bank, logistic", "smote", "llm", "best control", "synthetic rows added"):
        assert word in curves
    for path in figures.glob("*.pdf"):
        assert path.read_bytes().startswith(b"%PDF")


def test_methods_are_told_apart_without_colour():
    from opal.report.figures.style import style_of

    styles = [style_of(i) for i in range(14)]
    assert len({(s["marker"], str(s["linestyle"])) for s in styles}) == 14


@pytest.mark.slow
def test_the_same_runs_give_the_same_files(store, figures, tmp_path):
    main(["--uri", store.uri, "--figures", str(tmp_path), "--format", "csv"])
    for path in figures.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_the_page_needs_nothing_else(page):
    text = page.read_text()
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=", text)
    assert "default-src 'none'" in text
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))


@pytest.mark.slow
def test_names_are_escaped(store, tmp_path):
    path = tmp_path / "page.html"
    main(
        [
            "--uri",
            store.uri,
            "--html",
            str(path),
            "--where",
            "params.data != '<script>alert(1)</script>'",
            "--rows",
            "1",
        ]
    )
    assert "<script>alert" not in path.read_text()


@pytest.mark.browser
def test_the_page_in_a_browser(page, store, browser):
    from selenium.webdriver.common.by import By

    browser.get("about:blank")
    browser.get_log("browser")  # what pages of other tests have said
    browser.get(page.as_uri())
    body = browser.find_element(By.TAG_NAME, "body").text
    assert "Do synthetic rows help? 4 runs compared" in body and "2 tables cannot settle" in body
    assert "significant" not in body
    drawn = browser.find_elements(By.CSS_SELECTOR, "figure svg")
    assert len(drawn) == len(FIGURES) and all(f.size["width"] > 200 and f.size["height"] > 50 for f in drawn)

    runs = browser.find_element(By.CSS_SELECTOR, "table.runs")
    lines = runs.find_elements(By.CSS_SELECTOR, "tbody tr")
    assert len(lines) == 4
    for line in lines:
        digest = line.find_element(By.CSS_SELECTOR, "td:nth-child(2) code")
        assert f"python -m opal.reproduce {digest.text}" in line.text
        assert digest.get_attribute("title").startswith(digest.text) and len(digest.get_attribute("title")) == 64
        assert re.search(r"helps|hurts|no difference|inconclusive", line.text)
    links = {a.get_attribute("href") for a in runs.find_elements(By.TAG_NAME, "a")}
    experiment = store.tracking.experiment_id
    assert links == {f"http://127.0.0.1:5001/#/experiments/{experiment}/runs/{i}" for i in store.ids.values()}

    column = runs.find_elements(By.CSS_SELECTOR, "thead th")[3]
    for order in ("ascending", "descending"):
        column.find_element(By.TAG_NAME, "button").click()
        assert column.get_attribute("aria-sort") == order
        shown = [float(td.text) for td in runs.find_elements(By.CSS_SELECTOR, "tbody td:nth-child(4)")]
        assert shown == sorted(shown, reverse=order == "descending")
    browser.find_element(By.CSS_SELECTOR, "input[type=search]").send_keys("bank/llm")
    assert sum(line.is_displayed() for line in lines) == 1
    assert not [entry for entry in browser.get_log("browser") if "favicon" not in entry["message"]]


@pytest.mark.browser
@pytest.mark.parametrize("width", [1400, 800, 400])
def test_the_page_fits_its_window(page, browser, width):
    from selenium.webdriver.common.by import By

    metrics = {"width": width, "height": 1200, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        browser.get(page.as_uri())
        scrolled, window = browser.execute_script(
            "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        figures = browser.find_elements(By.TAG_NAME, "figure")
        tops = {round(figure.location["y"]) for figure in figures[:2]}
        named = [figure.get_attribute("aria-label") for figure in figures]
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert width - 20 <= window <= width and scrolled <= window, "no horizontal scroll bar"
    assert len(tops) == (1 if width == 1400 else 2), "figures stand side by side where there is room"
    assert all(named)
