"""Checks where own files are: in no folder in which another user of this machine could replace them."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from vsplit.protocol import ConfigError

if sys.platform != "win32":
    import grp
    import pwd

_MOST_LINKS = 40


def check_permissions(path: Path, named: str, *, private: bool = False) -> None:
    """Raise ConfigError where other users could replace `path`, through a folder or a link on the way to it.

    `named` says in the error which key of which file names the path. With `private`, `path` is a folder into which other users
    must not be able to write; a folder with the sticky bit, such as /tmp, is allowed only on the way to it. This user and the
    administrator are trusted. On Windows nothing is checked.
    """
    if sys.platform == "win32":
        return
    for step, status in _steps_to(path):
        # The folder itself, also where links lead to it.
        last = private and _is(path, status)
        if reason := _why_replaceable(status, last=last):
            remedy = f"close it with: chmod go-w {step}" if stat.S_ISDIR(status.st_mode) else "name the folder itself"
            if "belongs" in reason:
                remedy = "name a folder of your own"
            raise ConfigError(
                f"{named} names {path}, but {step} {reason}, so other users of this machine can replace it; {remedy}."
            )


def _why_replaceable(status: os.stat_result, *, last: bool) -> str:
    """Why other users can replace what is there; empty: they cannot."""
    if os.geteuid() != 0 and status.st_uid not in (0, os.geteuid()):
        return "belongs to another user"
    if stat.S_ISLNK(status.st_mode):
        # The administrator in a user's folder, as in a container, follows links of that user, but not those in /tmp.
        return "is a link that belongs to another user" if status.st_uid not in (0, os.geteuid()) else ""
    if not stat.S_ISDIR(status.st_mode) or (status.st_mode & stat.S_ISVTX and not last):
        return ""
    mode = f"(mode {stat.S_IMODE(status.st_mode):04o})"
    if status.st_mode & stat.S_IWOTH:
        return f"can be written by everybody {mode}"
    if status.st_mode & stat.S_IWGRP and not _has_one_member(status.st_gid):
        return f"can be written by a group {mode}"
    return ""


def _has_one_member(group: int) -> bool:
    """Whether this is the group that many systems create for each user, with no other member."""
    if sys.platform == "win32":
        return True
    try:
        user, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return group == user.pw_gid and found.gr_name == user.pw_name and set(found.gr_mem) <= {user.pw_name}


def _is(path: Path, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), status)
    except OSError:
        return False


def _steps_to(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Every folder and link on the way to `path`, and `path` itself, as far as they exist."""
    current, ahead, links = Path(path.anchor), list(reversed(path.parts[1:])), 0
    yield current, current.lstat()
    while ahead:
        part = ahead.pop()
        if part == "..":
            current = current.parent
            continue
        step = current / part
        try:
            status = step.lstat()
            target = step.readlink() if stat.S_ISLNK(status.st_mode) else None
        except OSError:  # a step that does not exist or is not readable is created or reported elsewhere
            return
        yield step, status
        if target is None:
            current = step
        elif (links := links + 1) <= _MOST_LINKS:
            current = Path(target.anchor) if target.is_absolute() else current
            ahead.extend(reversed(target.parts[1:] if target.is_absolute() else target.parts))
        else:
            return
