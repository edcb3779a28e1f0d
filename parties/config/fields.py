"""The base of all config models, and the kinds of value that occur in both files."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from parties.config.errors import shown, wrong
from parties.network.identity import PARTY_NAME, PublicIdentity
from psi.normalise import MOST_STEPS, read_step
from vsplit.protocol import ConfigError

Task = Literal["binary", "multiclass", "regression"]
Aggregate = Literal["concat", "sum", "masked_sum", "paillier_sum"]
PartyRole = Literal["label", "feature"]

AUTO = "auto"
"""The identity of a party whose key `vsplit launch` makes."""

SEED_LIMIT = (1 << 32) - 1
RESERVED_NAMES = {"con", "prn", "aux", "nul"}
HOST_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
ADDRESS_RULE = "it must be HOST:PORT, with a name, an IPv4 address or an [IPv6 address] and a port up to 65535"


EVERYWHERE = "*"
"""The host of a listener that accepts connections at every address of its machine, of IPv4 and of IPv6."""


class Model(BaseModel):
    """A group of keys: frozen, without unknown keys, and without conversion between types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True)


def split_address(address: str) -> tuple[str, int]:
    """HOST:PORT as (host, port), an IPv6 address without its brackets. Raises ValueError."""
    host, colon, port = address.rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError("no port from 0 to 65535 after the last colon")
    if host.startswith("[") and host.endswith("]"):
        return str(ipaddress.IPv6Address(host[1:-1])), int(port)
    if re.fullmatch(r"[0-9.]+", host):
        return str(ipaddress.IPv4Address(host)), int(port)
    if len(host) > 253 or not all(HOST_LABEL.fullmatch(label) for label in host.split(".")):
        raise ValueError("the host is neither a name nor an address")
    return host, int(port)


def split_listen(address: str) -> tuple[str, int]:
    """As `split_address`, but :PORT and *:PORT are also allowed and give the host *, every address. Raises ValueError."""
    host, colon, port = address.rpartition(":")
    if colon and host in ("", EVERYWHERE):
        return EVERYWHERE, split_address(f"localhost:{port}")[1]
    return split_address(address)


def _check_listen(address: str) -> str:
    try:
        split_listen(address)
    except ValueError:
        raise wrong("", f"is {shown(address)}; {ADDRESS_RULE}, or :PORT for all addresses of this machine") from None
    return address


def _check_address(address: str) -> str:
    try:
        split_address(address)
    except ValueError:
        raise wrong("", f"is {shown(address)}; {ADDRESS_RULE}") from None
    return address


def _check_party_name(name: str) -> str:
    if not PARTY_NAME.fullmatch(name) or name.lower() in RESERVED_NAMES:
        raise wrong("", f"is {shown(name)}; it must be {PARTY_NAME_RULE}")
    return name


def _check_identity(line: str) -> str:
    if line == AUTO:
        return line
    try:
        return PublicIdentity.parse(line).line
    except ConfigError as error:
        raise wrong("", f"is neither `auto` nor an identity: {error}") from None


def _check_distinct(words: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(words)) != len(words):
        raise wrong("", "lists a name twice; it must list each only once")
    return words


def _check_normaliser(written: object) -> object:
    try:
        read_step(written)
    except ValueError as error:
        raise wrong("", f"is {shown(written)}; {error}") from None
    return written


PARTY_NAME_RULE = "a letter, then letters, digits, - and _, at most 32 characters (it becomes a file name)"
Text = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,4096}$", description="a text of one line")]
Address = Annotated[
    str, AfterValidator(_check_address), Field(description="HOST:PORT, such as clinic.example.org:9440")
]
ListenAddress = Annotated[
    str, AfterValidator(_check_listen), Field(description="HOST:PORT, or :9440 for all addresses of this machine")
]
PartyName = Annotated[str, AfterValidator(_check_party_name), Field(description=PARTY_NAME_RULE)]
IdentityLine = Annotated[
    str,
    AfterValidator(_check_identity),
    Field(description="`auto`, or the line that `vsplit identity new NAME` printed"),
]
Seed = Annotated[int, Field(ge=0, le=SEED_LIMIT)]
Width = Annotated[int, Field(ge=1, le=65_536)]
# YAML has lists and no tuples, so the container alone is not strict.
Hidden = Annotated[tuple[Width, ...], Field(strict=False, max_length=16)]
Columns = Annotated[tuple[Text, ...], Field(strict=False, max_length=10_000), AfterValidator(_check_distinct)]
KeyColumns = Annotated[
    tuple[Text, ...], Field(strict=False, min_length=1, max_length=16), AfterValidator(_check_distinct)
]
# A normaliser's name, or a group of one name and its argument; psi.normalise knows which there are.
Normaliser = Annotated[Any, AfterValidator(_check_normaliser), Field(description="a normaliser")]
Normalisers = Annotated[tuple[Normaliser, ...], Field(strict=False, max_length=MOST_STEPS, examples=["[lower]"])]
