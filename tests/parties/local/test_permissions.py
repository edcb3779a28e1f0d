"""Others of this machine: where they could change or replace a folder of this party, nothing is written or read there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from parties.command.cli import app
from parties.local import permissions
from parties.local.permissions import check_permissions
from parties.run.run_folder import FINISHED, RunFolder
from vsplit.protocol import ConfigError

SOMEBODY = 54321
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only the administrator can make files of other users")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A run folder two levels down."""
    (tmp_path / "runs" / "lab").mkdir(parents=True)
    return tmp_path / "runs" / "lab"


@pytest.mark.parametrize("mode", [0o777, 0o707, 0o702, 0o775, 0o720, 0o2775])
@pytest.mark.parametrize("which", ["folder", "parent", "grandparent"])
def test_a_folder_that_others_can_write_is_refused(tree: Path, monkeypatch, mode: int, which: str) -> None:
    monkeypatch.setattr(permissions, "_has_one_member", lambda _group: False)
    check_permissions(tree, "The key output", private=True)
    {"folder": tree, "parent": tree.parent, "grandparent": tree.parent.parent}[which].chmod(mode)
    who = "everybody" if mode & 0o002 else "a group"
    with pytest.raises(ConfigError, match=rf"The key output names {tree}, but .* can be written by {who} .*chmod go-w"):
        check_permissions(tree, "The key output", private=True)
    check_permissions(Path("/"), "The key output", private=True)


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o750, 0o500])
def test_one_that_others_can_read_is_taken(tree: Path, mode: int) -> None:
    tree.parent.chmod(mode)
    check_permissions(tree, "The key output", private=True)


def test_the_sticky_bit_will_do_on_the_way_and_not_for_the_folder_itself(tree: Path) -> None:
    tree.parent.chmod(0o1777)
    check_permissions(tree, "The key output", private=True)
    tree.chmod(0o1777)
    with pytest.raises(ConfigError, match="everybody"):
        check_permissions(tree, "The key output", private=True)
    (tree.parent / "link").symlink_to(tree)
    with pytest.raises(ConfigError, match="everybody"):
        check_permissions(tree.parent / "link", "The key output", private=True)


def test_a_folder_that_is_not_there_yet_is_judged_by_those_above_it(tree: Path) -> None:
    check_permissions(tree / "a" / "b", "The key output", private=True)
    tree.chmod(0o777)
    with pytest.raises(ConfigError, match=f"{tree} can be written"):
        check_permissions(tree / "a" / "b", "The key output", private=True)


def test_the_way_of_a_link_is_judged_on_both_ends(tree: Path, tmp_path: Path) -> None:
    """Whoever can replace the link, or the folder that it leads to, decides where the run folder is."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "link").symlink_to("../runs/lab")
    check_permissions(tmp_path / "open" / "link", "The key output", private=True)
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(ConfigError, match=r"open can be written"):
        check_permissions(tmp_path / "open" / "link" / "x", "The key output", private=True)
    (tmp_path / "open").chmod(0o700)
    tree.parent.chmod(0o777)
    with pytest.raises(ConfigError, match=r"runs can be written"):
        check_permissions(tmp_path / "open" / ".." / "open" / "link", "The key output", private=True)


def test_links_in_a_ring_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    check_permissions(tmp_path / "a", "The key output", private=True)


@AS_ROOT
def test_a_link_of_another_user_is_refused(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    (tmp_path / "all").chmod(0o1777)
    link = tmp_path / "all" / "link"
    link.symlink_to(tree)
    check_permissions(link, "The key output", private=True)
    os.lchown(link, SOMEBODY, SOMEBODY)
    with pytest.raises(ConfigError, match="link is a link that belongs to another user"):
        check_permissions(link, "The key output", private=True)


@AS_ROOT
def test_a_folder_of_another_user_is_refused(tree: Path, monkeypatch) -> None:
    os.chown(tree.parent, SOMEBODY, SOMEBODY)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(ConfigError, match="runs belongs to another user"):
        check_permissions(tree, "The key output", private=True)


def test_a_group_of_this_user_alone_is_no_others(tree: Path, monkeypatch) -> None:
    """As where the umask is 002 and each user has a group of the own name."""
    tree.chmod(0o775)
    monkeypatch.setattr(
        permissions.pwd, "getpwuid", lambda _uid: type("User", (), {"pw_name": "me", "pw_gid": os.getegid()})
    )
    group = type("Group", (), {"gr_name": "me", "gr_mem": []})
    monkeypatch.setattr(permissions.grp, "getgrgid", lambda _gid: group)
    check_permissions(tree, "The key output", private=True)
    for one in ({"gr_mem": ["me", "you"]}, {"gr_mem": [], "gr_name": "staff"}):
        for name, value in one.items():
            setattr(group, name, value)
        with pytest.raises(ConfigError, match="a group"):
            check_permissions(tree, "The key output", private=True)


def test_a_run_closes_its_folder_and_makes_none_that_others_can_write(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir(mode=0o755)
    before = os.umask(0)
    try:
        for path in (tmp_path / "there", tmp_path / "a" / "b" / "lab"):
            folder = RunFolder(path)
            with folder.filling():
                folder.write_json(FINISHED, {})
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("there", "a", "a/b", "a/b/lab")]
    assert modes == [0o700, 0o755, 0o755, 0o700]


@pytest.mark.parametrize(
    ("open_", "key"), [("runs/clinic", "output"), ("runs", "output"), ("keys", "identity"), ("counts", "partners")]
)
@pytest.mark.parametrize("command", ["check", "run"])
def test_check_and_run_refuse_such_a_place(world, command: str, open_: str, key: str) -> None:
    world.files["clinic"]["partners"] = "counts/clinic.json"
    world.hasty().write()
    (world.folder / open_).mkdir(parents=True, exist_ok=True)
    (world.folder / open_).chmod(0o777)
    result = CliRunner().invoke(app, [command, str(world.folder / "clinic.yaml")])
    words = " ".join(result.output.split())
    assert result.exit_code == 2, words
    assert f"the key {key} names" in words
    assert f"chmod go-w {world.folder / open_}" in words
