"""The documentation as a site: it is built without a warning, is whole, and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest


@pytest.fixture(scope="module")
def site(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it, without a network proxy to load anything by."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=project, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
    return folder


class Links(HTMLParser):
    """What a page loads, what it links to, and the names of its places."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.names |= {found["id"]} if found.get("id") else set()
        if tag == "a" and found.get("href"):
            self.links.append(str(found["href"]))
        for key in ("src", "srcset", "poster", "data", "action"):
            if found.get(key):
                self.loads.append(str(found[key]))
        if tag == "link" and found.get("rel") in (
            "stylesheet",
            "icon",
            "preload",
            "preconnect",
            "dns-prefetch",
            "manifest",
        ):
            self.loads.append(str(found["href"]))


def pages(site: Path) -> Iterator[tuple[Path, Links]]:
    for file in site.rglob("*.html"):
        yield file, Links(file.read_text(encoding="utf-8"))


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    for file, page in pages(site):
        assert page.loads
        for url in page.loads:
            assert url.startswith("data:") or not urlsplit(url).netloc, (file, url)
    for sheet in site.rglob("*.css"):
        for url in re.findall(r"url\(([^)]+)\)|@import\s+([^;]+);", sheet.read_text(encoding="utf-8")):
            assert not re.search(r"https?://|^//", "".join(url).strip("'\"")) or "data:" in "".join(url), (sheet, url)


def test_every_link_leads_to_a_page_of_the_site_and_a_place_on_it(site: Path) -> None:
    whole = dict(pages(site))
    for file, page in whole.items():
        if file.name == "404.html":  # its links are those of a server
            continue
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                assert parts.scheme in ("https", "mailto"), (file, link)
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            target = target / "index.html" if target.is_dir() else target
            assert target.is_file(), (file, link)
            if parts.fragment and target in whole:
                assert unquote(parts.fragment) in whole[target].names | {"__skip"}, (file, link)


def test_every_page_of_docs_is_in_the_navigation(project: Path) -> None:
    named = (project / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    for file in (project / "docs").rglob("*.md"):
        assert re.search(rf"[ :]{re.escape(file.relative_to(project / 'docs').as_posix())}$", named, re.MULTILINE), file


@pytest.mark.parametrize("kind", ["Tutorials", "How-to guides", "Reference", "Explanation"])
def test_the_navigation_has_four_kinds(project: Path, kind: str) -> None:
    assert f"\n  - {kind}:\n" in (project / "mkdocs.yml").read_text(encoding="utf-8")
