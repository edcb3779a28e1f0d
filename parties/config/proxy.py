"""`proxy` in a party file: what it may be, and the route that follows from it and the environment. The file has no password."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from parties.config.fields import split_address
from parties.config.literal_parameters import VARIABLE
from parties.network.route import Proxy, Route
from vsplit.protocol import ConfigError

ENVIRONMENT = "environment"
"""The value that means: follow https_proxy and no_proxy."""

_RULE = (
    "it must be HOST:PORT or http://HOST:PORT, with ${PROXY_USER}:${PROXY_PASSWORD}@ before the host where the proxy asks for "
    "them, or the word environment, to follow https_proxy and no_proxy"
)
_CODED = (
    " In an environment variable, a character of a name or password that is neither a letter nor a digit must be written as % "
    "and two digits, such as %2F for / and %23 for #."
)
_NAMES = ("https_proxy", "HTTPS_PROXY")
_USER = re.compile(r"[A-Za-z0-9._\\-]{1,64}")


def check_proxy(written: str, where: str) -> None:
    """Raise ConfigError for what is not a proxy, and for a password in the file. The error shows nothing of the value."""
    if written != ENVIRONMENT and not VARIABLE.fullmatch(written):
        _parse(written, f"In {where}, the key proxy", literal=True)


def route_to(
    host: str, port: int, written: str | None, where: str, environment: Mapping[str, str] | None = None
) -> Route:
    """The route to this host and port, by the file's key (None: no proxy) and the environment. Raises ConfigError."""
    values = os.environ if environment is None else environment
    if written is None:
        return Route(hint=_unused(values))
    if written != ENVIRONMENT:
        return Route(_filled(written, where, values))
    name = next((name for name in _NAMES if values.get(name)), None)
    if name is None:
        return Route(hint="The party file says proxy: environment, but https_proxy is not set, so no proxy was used.")
    if _is_exempt(host, port, values):
        return Route(hint=f"no_proxy exempts {host} from {name}, so no proxy was used.")
    return Route(_parse(values[name], f"The environment variable {name}", default_port=80))


def _unused(values: Mapping[str, str]) -> str:
    name = next((name for name in _NAMES if values.get(name)), None)
    if name is None:
        return ""
    try:
        shown = f" to {_parse(values[name], name, default_port=80)}"
    except ConfigError:
        shown = ""
    return f"{name} is set{shown}, which vsplit does not use unless the party file says proxy: environment."


def _filled(written: str, where: str, values: Mapping[str, str]) -> Proxy:
    key = f"In {where}, the key proxy"

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in values:
            raise ConfigError(f"{key} needs the environment variable {name}, which is not set; set it first.")
        return values[name]

    if VARIABLE.fullmatch(written):
        return _parse(VARIABLE.sub(value, written), f"{key}: what its variable holds")
    proxy = _parse(written, key, literal=True)
    name, password = (None if part is None else VARIABLE.sub(value, part) for part in (proxy.name, proxy.password))
    return Proxy(proxy.host, proxy.port, name, password)


def _parse(text: str, what: str, *, literal: bool = False, default_port: int | None = None) -> Proxy:
    """`literal`: the text is from a file, where a password must be a variable, which is not replaced here."""
    coded = "" if literal else _CODED
    wrong = ConfigError(f"{what} is not a proxy that vsplit can use; {_RULE}.{coded}")
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
    except ValueError:
        raise wrong from None
    if parts.scheme == "https":
        raise ConfigError(
            f"{what} asks for TLS to the proxy itself (https://), which vsplit does not support; {_RULE}. The connection "
            "through the proxy uses TLS between the parties in any case."
        )
    if parts.scheme != "http" or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise wrong
    user, at, address = parts.netloc.rpartition("@")
    if default_port is not None and not re.search(r":[0-9]+$", address):
        address = f"{address.rstrip(':')}:{default_port}"
    try:
        host, port = split_address(address)
    except ValueError:
        raise wrong from None
    name, colon, password = user.partition(":")
    if literal and user and not _keeps_secrets(name, colon, password):
        raise ConfigError(
            f"{what} contains a password, or what may be one; keep it out of the file: write "
            f"http://${{PROXY_USER}}:${{PROXY_PASSWORD}}@{address}, and set these environment variables before you start."
        )
    if port == 0 or (at and not name):
        raise wrong
    read = str if literal else unquote
    return Proxy(host, port, read(name) if at else None, read(password) if colon else None)


def _keeps_secrets(name: str, colon: str, password: str) -> bool:
    """Whether the password is a variable, and the name a variable or short and plain; a name alone may be a secret."""
    if VARIABLE.fullmatch(name):
        return not colon or VARIABLE.fullmatch(password) is not None
    return VARIABLE.fullmatch(password) is not None and _USER.fullmatch(name) is not None


def _is_exempt(host: str, port: int, values: Mapping[str, str]) -> bool:
    """Whether no_proxy lists this host: names with all names below them, addresses, networks, each optionally with a port,
    and * for everything, separated by commas or spaces."""
    listed = values.get("no_proxy") or values.get("NO_PROXY") or ""
    return any(_covers(one.lower(), host.lower(), port) for one in re.split(r"[\s,]+", listed))


def _covers(listed: str, host: str, port: int) -> bool:
    if listed == "*":
        return True
    name, colon, only = listed.rpartition(":")
    if colon and only.isdigit() and (":" not in name or name.endswith("]")):
        if int(only) != port:
            return False
        listed = name
    listed = listed.strip("[]")
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(listed, strict=False)
    except ValueError:
        name = listed.removeprefix("*").strip(".")
        return bool(name) and (host == name or host.endswith(f".{name}"))
