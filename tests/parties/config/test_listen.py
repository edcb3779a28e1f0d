"""Where a label party listens: at one address, or at every one of its machine."""

from __future__ import annotations

import pytest

from parties.config.fields import split_listen

EXAMPLES = [
    ("0.0.0.0:9440", ("0.0.0.0", 9440)),
    ("[::]:9440", ("::", 9440)),
    ("[::1]:9440", ("::1", 9440)),
    (":9440", ("*", 9440)),
    ("*:9440", ("*", 9440)),
    ("clinic.example:9440", ("clinic.example", 9440)),
]


@pytest.mark.parametrize(("written", "parts"), EXAMPLES)
def test_an_address_to_listen_at(written: str, parts: tuple[str, int]) -> None:
    assert split_listen(written) == parts


@pytest.mark.parametrize(
    "written",
    ["", ":", "*", "9440", "*:", ":99999", "*:x", "**:9440", "*.example:9440", "::9440", "[*]:9440", "[]:9440"],
)
def test_what_is_none(written: str) -> None:
    with pytest.raises(ValueError):
        split_listen(written)
