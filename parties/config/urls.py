"""Database URLs: no password stands in a file, ${VARIABLES} are filled in when the data is read, copies are masked."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from vsplit.protocol import ConfigError

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
SENSITIVE = r"pass|pwd|secret|token|api_?key|credential"
SECRET_NAME = re.compile(rf"{SENSITIVE}|odbc_connect", re.IGNORECASE)
MASK = "***"

# The password of a URL, unless it is a variable or masked already. It is taken up to the last @ of the line, since
# passwords hold what they like, and parsers cut short those with an @ (SQLAlchemy's masking of `u:a@b@host` shows the b).
_PASSWORD = re.compile(r"(?P<before>[A-Za-z][\w+.-]*://[^\s/:@]*:)(?!\$\{\w+\}@|\*\*\*@)(?P<secret>[^\n]*)(?=@)")
_PARAMETER = re.compile(
    rf"(?P<before>[?&;][\w.-]*(?:{SENSITIVE})[\w.-]*(?:=|%3D))(?P<secret>[^&;\s\"'#]+)", re.IGNORECASE
)

# As in a query that reaches a further database: dblink('host=… password=…').
_SETTING = re.compile(
    r"(?P<before>\b(?:password|passwd|pwd)\s*=\s*)(?!\*\*\*)(?P<secret>'[^'\n]*'|[^\s'\";&]+)", re.IGNORECASE
)


def is_url(source: str) -> bool:
    """Whether `data.source` names a database and not a file."""
    return "://" in source or VARIABLE.fullmatch(source) is not None


def check_url(source: str, where: str) -> None:
    """Raise ConfigError where the URL cannot be parsed, or where a password stands in it. Nothing of it is shown."""
    if not VARIABLE.fullmatch(source):
        url = _parse(source, where)
        secrets = [url.password, *(_text(value) for name, value in url.query.items() if SECRET_NAME.search(name))]
        if any(secret and not VARIABLE.fullmatch(str(secret)) for secret in secrets):
            raise ConfigError(
                f"In {where}, the key data.source holds a password; keep it out of the file: write ${{DB_PASSWORD}} in "
                "its place, alone, and set that environment variable before you start."
            )


def fill_url(source: str, where: str, environment: Mapping[str, str] | None = None) -> URL:
    """The URL with its ${VARIABLES} filled in from the environment.

    A variable in a part of the URL is taken as it is, so a password needs no escaping; a variable that is the whole
    source holds a whole URL. Raises ConfigError where a variable is not set, and names it.
    """
    values = os.environ if environment is None else environment

    def fill(text: str) -> str:
        return VARIABLE.sub(lambda match: _value(match.group(1), values, where), text)

    if VARIABLE.fullmatch(source):
        return _parse(fill(source), where)
    check_url(source, where)
    url = _parse(source, where)
    parts = (url.username, url.password, url.host, url.database)
    username, password, host, database = (fill(part) if part else part for part in parts)
    query = {name: fill(value) if isinstance(value, str) else value for name, value in url.query.items()}
    return url._replace(username=username, password=password, host=host, database=database).set(query=query)


def masked_copy(text: str) -> str:
    """The text of a config file with the passwords of URLs and of `password=…` settings masked, for a copy in the run folder.

    ${VARIABLES} stay as they are written. Where it is unclear how far a password goes, more is masked and not less.
    """
    return _SETTING.sub(_masked, _PARAMETER.sub(_masked, _PASSWORD.sub(_masked, text)))


def _masked(match: re.Match[str]) -> str:
    return match.group() if VARIABLE.fullmatch(match["secret"]) else f"{match['before']}{MASK}"


def _parse(source: str, where: str) -> URL:
    try:
        return make_url(source)
    except (ArgumentError, ValueError):
        raise ConfigError(
            f"In {where}, the key data.source is not a URL that SQLAlchemy can read; it must look like "
            "postgresql+psycopg://user:${DB_PASSWORD}@host:5432/database."
        ) from None


def _text(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else " ".join(value)


def _value(name: str, values: Mapping[str, str], where: str) -> str:
    if name not in values:
        raise ConfigError(
            f"In {where}, the key data.source needs the environment variable {name}, which is not set; set it first."
        )
    return values[name]
