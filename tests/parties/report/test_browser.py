"""The report, and the page of what leaves, in a real browser: they open without a word in the console, and fit the window."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from parties.command.bounds import Bound
from parties.command.cut_layer import CutLayer
from parties.command.disclosure import OutgoingMessages
from parties.command.disclosure_document import Document, Group, Member, Setting
from parties.command.disclosure_page import render_disclosure
from parties.command.groups import TITLES, Words
from parties.report.content import Columns, Crossing, Epoch, Party, Records, ReportContent, SplitScores, Training
from parties.report.page import render_report
from vsplit.evaluation.curves import curves
from vsplit.evaluation.metrics import compare

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1000,1400",
)

pytestmark = [
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER),
        reason="chromium and chromedriver are not installed (Debian: chromium, chromium-driver)",
    ),
    pytest.mark.alone,  # a browser is many processes
]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # Both paths are given, so selenium looks for no driver on the network.
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def content() -> ReportContent:
    rng = np.random.default_rng(0)
    truth = np.arange(400) % 2
    joint, alone = np.clip(truth * 0.5 + rng.random(400) / 2, 0, 1), np.clip(truth * 0.1 + 0.9 * rng.random(400), 0, 1)
    judged = SplitScores(
        comparison=compare("binary", truth, joint, alone, seed=0, resamples=50),
        curves=curves("binary", truth, joint, alone),
    )
    return ReportContent(
        job="thyroid",
        task="binary",
        party="clinic",
        role="label",
        started="2026-03-02T09:14:03+01:00",
        ended="2026-03-02T09:15:21+01:00",
        parties=[Party(name="clinic", role="label", list_size=2100), Party(name="lab & <co>", role="feature")],
        records=Records(
            own=2100, without_key=0, repeated=0, listed=2100, matched=2000, train=1400, validation=200, test=400
        ),
        columns=Columns(names=["age"], numeric=1, categorical=0, label="diagnosis"),
        training=Training(
            epochs=[Epoch(number=number, seconds=1, train_loss=0.5, validation_loss=0.6) for number in (1, 2)],
            kept=1,
            stopped="all epochs of the job were done",
        ),
        traffic=[
            Crossing(direction="sent", party="lab & <co>", kind="Gradients", messages=9, size=90_000, reveals="labels")
        ],
        test=judged,
        validation=judged,
    )


def disclosure() -> Document:
    rows = [
        OutgoingMessages("Gradient", "lab & <co>", 900, 1_200_000, "how the loss would change with the embedding, " * 5)
    ]
    told = Words("Numbers for each record. " * 8, "What they are made from. " * 8, "As was measured. " * 4)
    groups = [Group(name, title, told, rows if name == "gradients" else []) for name, title in TITLES.items()]
    return Document(
        made=datetime(2026, 3, 2, 9, 14, tzinfo=UTC),
        version="0.2.0",
        purpose="run",
        job="thyroid",
        task="binary",
        digest="0123456789abcdef" * 4,
        party="clinic",
        role="label",
        address="vsplit.clinic.example:9440",
        job_file="/home/clinic/joint/a/long/path/to/the/job.yaml",
        party_file="/home/clinic/joint/a/long/path/to/the/clinic.yaml",
        members=[Member("clinic", "label", "vsplit1" + "a" * 58, None), Member("lab & <co>", "feature", "auto", 3)],
        records=8_236,
        columns=["a_column_with_a_very_long_name" * 4, "sex"],
        cut=CutLayer(width=16, number_bits=32, epochs=30, columns=2),
        groups=groups,
        settings=[Setting("train.early_stopping", "after 8 epochs", "whether training may end before that")],
        bounds=[Bound("accept.aggregations", "concat, sum, masked_sum, paillier_sum", "ways to join", written=True)],
        warnings=["There is room for all of them."],
    )


@pytest.mark.parametrize("width", [400, 1200])
def test_the_page_of_what_leaves_opens_with_a_clean_console_and_fits_any_width(
    browser: webdriver.Chrome, tmp_path: Path, width: int
) -> None:
    page = tmp_path / "check.html"
    page.write_text(render_disclosure(disclosure()), encoding="utf-8")
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 1400, "deviceScaleFactor": 1, "mobile": False},
    )
    browser.get(page.as_uri())

    assert browser.get_log("browser") == []
    assert browser.title == "thyroid: what leaves clinic"
    assert browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)") in (
        [],
        ["data:,"],
    )
    table = browser.find_element("css selector", "details table")
    assert not table.is_displayed()
    browser.find_element("css selector", "details summary").click()
    assert table.is_displayed()
    assert "lab & <co>" in table.text
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    # On paper nobody can open it.
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    browser.get(page.as_uri())
    table = browser.find_element("css selector", "details table")
    assert browser.execute_script("return arguments[0].checkVisibility()", table)
    assert table.size["height"] > 40


def test_the_page_opens_with_a_clean_console_and_a_visible_headline(browser: webdriver.Chrome, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(render_report(content()), encoding="utf-8")
    browser.get(page.as_uri())

    assert browser.get_log("browser") == []
    assert browser.title == "thyroid: report of clinic"
    headline = browser.find_element("id", "headline")
    assert headline.is_displayed()
    assert "Together: AUC" in headline.text
    assert "Clinic alone:" in headline.text
    assert "lab & <co>" in browser.find_element("tag name", "main").text
    # Nothing was asked of the network or the disk beside the page itself, and nothing is wider than the window.
    assert browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)") in (
        [],
        ["data:,"],
    )
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    plots = browser.find_elements("css selector", "figure svg")
    assert len(plots) == 7
    for plot in plots:
        assert plot.size["width"] > 300
        assert plot.size["height"] > 100
