"""Database URLs: a file has no secrets, and ${VARIABLES} are replaced when the data is read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote_plus

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from parties.config.literal_parameters import (
    HARMLESS,
    VARIABLE,
    harmless_file,
    harmless_host,
    harmless_parameter,
    harmless_step,
    harmless_user,
)
from vsplit.protocol import ConfigError

_PARAMETER_NAME = re.compile(r"[A-Za-z_]{1,32}")


def is_url(source: str) -> bool:
    """Whether `data.source` names a database and not a file."""
    return "://" in source or VARIABLE.fullmatch(source) is not None


def check_url(source: str, where: str) -> None:
    """Raise ConfigError where the URL cannot be parsed, or contains what may be a secret. The error shows nothing of it."""
    if VARIABLE.fullmatch(source):
        return
    place = next(_places_of_secrets(source, _parse(source, where)), None)
    if place is not None:
        raise ConfigError(
            f"In {where}, the key data.source contains a password, or what may be one, {place}; keep it out of the file: "
            "write only ${DB_PASSWORD} or another variable in its place, and set that environment variable before you start. "
            "Only host, port, database, a short user name and these parameters may be written literally: "
            f"{', '.join(sorted(HARMLESS))}."
        )


def _places_of_secrets(source: str, url: URL) -> Iterator[str]:
    """The places in the URL with something that is neither harmless nor a variable."""
    if url.password and not VARIABLE.fullmatch(str(url.password)):
        yield "before the @"
    if url.username and not harmless_user(url.username):
        yield "in place of a user name"
    # From the text itself, since parsing drops parameters without a value.
    before, _, query = source.partition("?")
    for number, parameter in enumerate(re.split("[&;]", query), start=1):
        name, equals, value = parameter.partition("=")
        if parameter and not harmless_parameter(unquote_plus(name), unquote_plus(value)):
            # A parameter without a value may be the secret itself.
            named = equals and _PARAMETER_NAME.fullmatch(name)
            yield f"in the parameter {name}" if named else f"in parameter {number}"
    if url.host and not harmless_host(url.host):
        yield "in place of a host"
    if "#" in before:
        yield "after the #"
    database = url.database or ""
    if not (
        harmless_file(database) if url.get_backend_name() == "sqlite" else all(map(harmless_step, database.split("/")))
    ):
        yield "in place of a database"


def fill_url(source: str, where: str, environment: Mapping[str, str] | None = None) -> URL:
    """The URL with its ${VARIABLES} replaced from the environment.

    A variable in a part of the URL is used literally, so a password needs no escaping; a variable that is the whole source
    must contain a whole URL. Raises ConfigError, with the name of the variable, where one is not set.
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
    query = {
        name: fill(value) if isinstance(value, str) else tuple(map(fill, value)) for name, value in url.query.items()
    }
    return url._replace(username=username, password=password, host=host, database=database).set(query=query)


def _parse(source: str, where: str) -> URL:
    try:
        return make_url(source)
    except (ArgumentError, ValueError):
        raise ConfigError(
            f"In {where}, the key data.source is not a URL that SQLAlchemy can read; it must look like "
            "postgresql+psycopg://user:${DB_PASSWORD}@host:5432/database."
        ) from None


def _value(name: str, values: Mapping[str, str], where: str) -> str:
    if name not in values:
        raise ConfigError(
            f"In {where}, the key data.source needs the environment variable {name}, which is not set; set it first."
        )
    return values[name]
