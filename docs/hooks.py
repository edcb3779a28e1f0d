"""For mkdocs: links from docs/ to other files of the project lead, on the site, to copies of these files in project/.

So the site is complete without a network, and the same links work on a code forge. A link to a file that does not exist is
not changed, and fails a strict build.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
COPIES = "project"
_LINK = re.compile(r"(?<=\]\()(?P<target>[^)\s#:]+)(?P<anchor>#[^)\s]*)?(?=\))")
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: Any) -> Files:
    """Add every file of the project that a page links to, and those that these link to."""
    waiting = [f"docs/{file.src_uri}" for file in files.documentation_pages()]
    waiting += [path.removeprefix(f"{COPIES}/") for path in _named_in(config.nav) if path.startswith(f"{COPIES}/")]
    seen: set[str] = set(waiting)
    added: set[str] = set()
    while waiting:
        place = waiting.pop()
        if not place.startswith("docs/") and place not in added:
            added.add(place)
            files.append(_copy(place, config))
        if place.endswith(".md"):
            found = {target for target in _targets(place) if target not in seen}
            seen |= found
            waiting += sorted(found)
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Change links to where their targets are on the site."""
    own = page.file.src_uri
    place = own.removeprefix(f"{COPIES}/") if own.startswith(f"{COPIES}/") else f"docs/{own}"

    def replaced(match: re.Match[str]) -> str:
        target = _target(place, match["target"])
        if target is None:
            return match["target"] + (match["anchor"] or "")
        on_site = target.removeprefix("docs/") if target.startswith("docs/") else f"{COPIES}/{target}"
        return posixpath.relpath(on_site, posixpath.dirname(own)) + (match["anchor"] or "")

    return _LINK.sub(replaced, markdown)


def _copy(place: str, config: Any) -> File:
    if (ROOT / place).exists():
        return File.generated(config, f"{COPIES}/{place}", abs_src_path=str(ROOT / place))
    folder = posixpath.dirname(place)
    links = "".join(f"- [{one}]({posixpath.relpath(one, folder)})\n" for one in _inside(folder))
    return File.generated(config, f"{COPIES}/{place}", content=f"# {folder}\n\n{links}")


def _inside(folder: str) -> list[str]:
    """The files of a folder, and of the folders in it those that are described."""
    inside = [*(ROOT / folder).glob("[!._]*"), *(ROOT / folder).glob("*/README.md")]
    return sorted(one.relative_to(ROOT).as_posix() for one in inside if one.is_file())


def _targets(place: str) -> Iterator[str]:
    """The files of the project that a page links to."""
    if not (ROOT / place).exists():
        yield from _inside(posixpath.dirname(place))
        return
    text = _FENCE.sub("", (ROOT / place).read_text(encoding="utf-8"))
    for match in _LINK.finditer(text):
        target = _target(place, match["target"])
        if target is not None:
            yield target


def _target(place: str, link: str) -> str | None:
    """The file that a link on the page `place` leads to; a folder is its README, or a page that lists its files."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(place), link))
    if target.startswith("..") or not (ROOT / target).exists():
        return None
    if not (ROOT / target).is_dir():
        return target
    return f"{target}/README.md" if (ROOT / target / "README.md").is_file() else f"{target}/index.md"


def _named_in(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    for one in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from _named_in(one)
