"""What may be written literally in a URL or a setting. Anything else may be a secret, whatever a driver calls it."""

from __future__ import annotations

import re

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
HARMLESS = frozenset({
    "application_name", "applicationintent", "catalog", "charset", "client_encoding", "connect_timeout", "driver",
    "encoding", "encrypt", "mode", "multisubnetfailover", "read_timeout", "role", "schema", "service_name", "ssl_ca",
    "sslmode", "sslrootcert", "target_session_attrs", "timeout", "trusted_connection", "trustservercertificate", "uri",
    "warehouse", "write_timeout",
})  # fmt: skip
"""The parameters of a database URL that may be written out, in lower case."""

_PATHS = frozenset({"driver", "ssl_ca", "sslrootcert"})
_PLAIN_PATH = re.compile(r"[\w .,:/+-]{0,64}")
_PLAIN_VALUE = re.compile(r"[\w .-]{0,64}")
_SECONDS = re.compile(r"[0-9.]{1,6}")
_PLAIN_USER = re.compile(r"[\w.-]{0,32}")
_PLAIN_HOST = re.compile(r"[\w.\\-]{0,253}|\[?[0-9A-Fa-f:.]{2,45}\]?")
_PLAIN_STEP = re.compile(r"[\w .~$+,:\\-]{0,64}")
_STEP_OF_FILE = re.compile(r"[^/#?;=&@]{0,255}")
_MOST_DIGITS = 8  # a name with more of them is more likely a token


def harmless_parameter(name: str, value: str) -> bool:
    """Whether `name=value` may be written: its value is a variable, or a plain value of a harmless parameter."""
    if VARIABLE.fullmatch(value):
        return True
    name = name.strip().lower()
    if name not in HARMLESS or not _few_digits(value):
        return False
    form = _SECONDS if name.endswith("timeout") else _PLAIN_PATH if name in _PATHS else _PLAIN_VALUE
    return form.fullmatch(value) is not None


def harmless_user(text: str) -> bool:
    """Whether this is a user name, and not a token in its place."""
    return _PLAIN_USER.fullmatch(_literal(text)) is not None and _few_digits(text)


def harmless_host(text: str) -> bool:
    """Whether this is a name or an address and nothing else."""
    return _PLAIN_HOST.fullmatch(_literal(text)) is not None


def harmless_step(text: str) -> bool:
    """Whether this step of a path, such as a database's name, is a name and nothing else."""
    return _PLAIN_STEP.fullmatch(_literal(text)) is not None and _few_digits(text)


def harmless_file(text: str) -> bool:
    """Whether this is the path of a file and nothing else."""
    return all(_STEP_OF_FILE.fullmatch(step) for step in _literal(text).split("/"))


def _literal(text: str) -> str:
    return VARIABLE.sub("", text)


def _few_digits(text: str) -> bool:
    return sum(letter.isdigit() for letter in _literal(text)) <= _MOST_DIGITS
