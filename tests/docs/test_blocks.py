"""Every code block of tutorials and guides is well-formed and checked by a test, and the helper that follows pages works."""

from __future__ import annotations

import configparser
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.docs.blocks import CHANGE, Block, Reader, blocks, changed

DOCS = Path(__file__).parents[2] / "docs"
WRITTEN = sorted(file for file in DOCS.rglob("*.md") if file.parent.name != "reference")
FOUND = [pytest.param(block, id=f"{file.name}:{block.line}") for file in WRITTEN for block in blocks(file)]
FOLLOWED = {"first-hour.md", "own-model.md", "export.md"}
"""Every block of these pages is run, since `Reader.follow` refuses a block that it cannot use."""
CHECKED = {
    "two-machines.md": {  # the other blocks: test_two_machines.py
        "bash": ["python3 --version", "sudo ufw allow from 203.0.113.7 to any port 9440 proto tcp"],
    },
    "overlap.md": {},
    "containers.md": {  # test_containers.py
        "bash": [
            "docker compose build",
            "mkdir -m 700 clinic lab",
            "cp clinic/job.yaml lab/",
            "docker compose run --rm clinic check clinic.yaml",
        ],
        "yaml": ["address: clinic:9440", "data:"],
    },
    "gpu.md": {"yaml": ["device: cuda"]},  # test_how_to.py, this one and those below
    "install-offline.md": {"bash": ["python3 -m pip download --dest wheels", "python3 -m venv ~/vsplit"]},
    "joint-project.md": {"bash": ["rm ~/joint/clinic.key"]},
    "ledger.md": {  # test_two_machines.py
        "sh": [
            "vsplit ledger show runs/clinic",
            "vsplit ledger verify runs/clinic --job job.yaml",
            "vsplit ledger verify runs/clinic lab-ledger.jsonl --job job.yaml",
        ],
        "bash": ["vsplit ledger verify --unfinished runs/clinic/.unfinished/ledger"],
    },
    "limit-partners.md": {"yaml": ["accept:"], "sh": ["vsplit check clinic.yaml"]},
    "operate.md": {  # test_how_to.py, test_two_machines.py, test_reference.py
        "yaml": ["log:", "metrics: 127.0.0.1:9450"],
        "sh": ["vsplit runs clinic.yaml", "vsplit runs clinic.yaml --prune --keep 3 --yes"],
        "bash": ["vsplit compare runs/"],
        "text": ["rate(vsplit_waiting_seconds_total", "vsplit_link_up == 0"],
    },
    "postgresql.md": {  # test_postgresql.py
        "sh": ["vsplit check lab.yaml"],
        "sql": ["create view for_vsplit as"],
        "yaml": ["data:"],
        "bash": ["python -m pip install 'psycopg[binary]'", "read -rs LAB_DB_PASSWORD"],
    },
    "predict.md": {  # test_how_to.py
        "yaml": ["accept:", "predict:"],
        "sh": ["vsplit check --predict lab.yaml"],
        "bash": ["vsplit predict clinic.yaml --data", "vsplit predict lab.yaml"],
    },
    "proxy.md": {
        "yaml": [
            "proxy: http://proxy.hospital",
            "proxy: http://${PROXY_USER}:${PROXY_PASSWORD}@",
            "proxy: environment",
        ],
        "bash": ["vsplit check lab.yaml"],
    },
    "resume.md": {
        "yaml": ["wait: 14400", "train:"],
        "bash": ["vsplit run clinic.yaml", "vsplit run clinic.yaml --restart"],
    },
    "systemd.md": {"ini": ["[Unit]"], "bash": ["sudo systemctl daemon-reload", "sudo systemctl enable vsplit-clinic"]},
    "troubleshoot.md": {"bash": ["nc -vz vsplit.clinic.example 9440"]},
}
"""How each block of the other pages begins, by language, in order. A new block belongs here once a test checks it.

`bash` is not run: `test_a_block_is_well_formed` and test_typed_commands.py check it."""


@pytest.mark.parametrize("block", FOUND)
def test_a_block_is_well_formed(block: Block) -> None:
    if block.language in ("sh", "bash"):
        assert subprocess.run(["bash", "-n", "-c", block.text], check=False).returncode == 0
    elif block.language == "python":
        compile(block.text, block.title, "exec")
    elif block.language == "yaml":
        assert isinstance(yaml.safe_load(block.text), dict)
    elif block.language == "ini":
        unit = configparser.ConfigParser(strict=False, interpolation=None)
        unit.read_string(block.text)
        assert unit.sections() == ["Unit", "Service", "Install"]
    else:  # what is printed, and what test_postgresql.py gives a server
        assert block.language in ("text", "sql")


def test_every_block_of_a_tutorial_or_guide_is_checked() -> None:
    """A new block, and a block on a page without any, fails here until a test checks it."""
    pages = {file.name: blocks(file) for file in WRITTEN if file.parent.name in ("tutorials", "how-to")}
    assert FOLLOWED | CHECKED.keys() == {name for name, found in pages.items() if found}
    for name, listed in CHECKED.items():
        followed = {"sh", "yaml", "text"} if name in ("two-machines.md", "overlap.md") else set()
        for language in {block.language for block in pages[name]} - followed:
            texts = [block.text for block in pages[name] if block.language == language]
            assert len(texts) == len(listed.get(language, [])), f"{name}: {language}"
            for text, beginning in zip(texts, listed[language], strict=True):
                assert text.startswith(beginning), f"{name}: {text}"


@pytest.mark.parametrize("file", WRITTEN, ids=lambda file: file.name)
def test_code_is_in_fences_with_a_language(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert len(re.findall(r"^ *```", text, re.MULTILINE)) == 2 * len(blocks(file))
    assert not re.search(r"\n\n {4,}\S", re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL))


# --- the helper -------------------------------------------------------------------------------------------------------

FILE = "a: 1  # one\n# b: 2  # two\nc:\n  # d: 3\n  a: 4\n"


@pytest.mark.parametrize(
    ("change", "became"),
    [
        ("a: 5", "a: 5\n# b: 2  # two\nc:\n  # d: 3\n  a: 4\n"),
        ("b: 5", "a: 1  # one\nb: 5\nc:\n  # d: 3\n  a: 4\n"),
        ("c:\n  d: 5\n  a: 6", "a: 1  # one\n# b: 2  # two\nc:\n  d: 5\n  a: 6\n"),
        ("c:\n  # a: 4", "a: 1  # one\n# b: 2  # two\nc:\n  # d: 3\n  # a: 4\n"),
    ],
)
def test_a_change_sets_the_key_of_its_group(change: str, became: str) -> None:
    assert changed(FILE, change) == became


def test_a_change_in_a_group_that_is_commented_out_sets_both() -> None:
    assert (
        changed("# a:  # one\n#   b: 2\n#   c: 2\nd:\n  b: 2\n", "a:\n  c: 3")
        == "a:  # one\n#   b: 2\n  c: 3\nd:\n  b: 2\n"
    )


def test_a_change_of_a_key_that_is_not_there_is_noticed() -> None:
    with pytest.raises(AssertionError, match=r"c\.b"):
        changed(FILE, "c:\n  b: 1")


def test_a_page_is_followed_in_order_and_what_it_promises_is_compared(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    text = (
        f'```sh\nmkdir in\ncd in\n```\n```yaml title="f.yaml"\na: 1\n```\n```yaml title="f.yaml{CHANGE}"\na: 2\n```\n'
    )
    text += "```sh\ncat f.yaml\n```\n```text\na: …\n```\n"
    page.write_text(text, encoding="utf-8")
    Reader(tmp_path).follow(page)
    assert (tmp_path / "in/f.yaml").read_text(encoding="utf-8") == "a: 2\n"
    page.write_text("```sh\necho a\n```\n```text\nb\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match="line 4: 'b' was not printed"):
        Reader(tmp_path).follow(page)
    page.write_text("```sh\nfalse\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match="line 1"):
        Reader(tmp_path).follow(page)
