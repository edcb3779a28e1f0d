"""For the build: links in README.md are relative, and absolute in the description that PyPI shows.

They lead below the `Source` URL of pyproject.toml, to the paths at which GitHub serves pages (blob) and pictures (raw).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"(?P<picture>!?)(?P<text>\[[^\]]*\])\((?!https?:|#)(?P<target>[^)\s]+)\)")


def absolute(text: str, source: str) -> str:
    """`text` with its relative links below `source`."""

    def replaced(link: re.Match[str]) -> str:
        kind = "raw" if link["picture"] else "blob"
        return f"{link['picture']}{link['text']}({source.rstrip('/')}/{kind}/HEAD/{link['target']})"

    return _LINK.sub(replaced, text)


class Description(MetadataHookInterface):
    """Sets the project's description, which `dynamic` in pyproject.toml announces as `readme`."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": absolute(text, metadata["urls"]["Source"])}
