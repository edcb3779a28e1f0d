"""Copies of config files for the run folder, in which everything that may be a secret is masked, also in comments."""

from __future__ import annotations

import re

from parties.config.literal_parameters import VARIABLE, harmless_host, harmless_parameter, harmless_step, harmless_user
from parties.config.reading import text_of_value

MASK = "***"

_URL = re.compile(r"(?P<scheme>[A-Za-z][\w+.-]*://)(?P<rest>[^\n]*)")
# Up to the last @ of the line, since a password may contain any character.
_USER_AND_PASSWORD = re.compile(r"(?P<user>[^/:@\n]*):(?P<password>\$\{\w+\}@|\*\*\*@|[^\n]*@)")
_USER = re.compile(r"(?P<user>[^\s/:@?#'\"]*)@")
_PLACE = re.compile(r"[^\s'\"]*")
# What may follow a URL without a space, as in a list or in brackets.
_VALUE_AND_BRACKETS = re.compile(r"(?P<value>\$\{\w+\}|[^)}\],]*)(?P<brackets>[)}\],.]*)")
_BRACKETS = re.compile(r"[()\[\]{}]")
_COMMENT = re.compile(r"(?:^|(?<=\s))#.*$", re.MULTILINE)
_SETTING = re.compile(
    r"(?P<name>[\w.-]+)(?P<equals>\s*(?:=|%3D)\s*)(?P<value>'[^'\n]*'|\"[^\"\n]*\"|[^\s'\";&,]+)", re.I
)
# No list of what is harmless is complete for free text, so words that mean secrets are searched for as well.
_SENSITIVE = r"pass|pwd|secret|token|credential|private|api_?key|access_?key|jwt|signature|auth"
_SECRET_AFTER_COLON = re.compile(
    rf"(?P<name>\b[\w.-]*(?:{_SENSITIVE})[\w.-]*\s*:\s+)(?P<value>\S.*)$", re.IGNORECASE | re.MULTILINE
)
_SENSITIVE_SETTING = re.compile(
    rf"(?P<name>\b[\w.-]*(?:{_SENSITIVE})[\w.-]*)(?P<equals>\s*=\s*)(?P<value>'[^'\n]*'|[^\s'\";&]+)", re.IGNORECASE
)
# A word of letters and digits in a comment: a long one, or any one on a line that mentions secrets, as in "password hunter2".
_LONG_WORD = re.compile(r"(?<![\w.$-])(?!vsplit1[a-z2-7]{58}\b)(?=[\w.+=-]*[0-9])(?=[\w.+=-]*[A-Za-z])[\w.+=-]{20,}")
_SECRET_WORD = re.compile(
    r"(?<![\w$*.:/@-])(?!vsplit1[a-z2-7]{58}\b)(?=\w*[0-9])(?=[\w!#%&+=.-]*[A-Za-z])[\w!#%&+=.-]+"
)
_MENTIONS_SECRETS = re.compile(rf"{_SENSITIVE}|kennwort|\bpw\b|\bkey\b|login|log in", re.IGNORECASE)
_QUOTE = re.compile(r"['\"`]|\$\w*\$")
# A comment in SQL, which may contain anything.
_COMMENT_OF_QUERY = re.compile(r"--|/\*")
_MYSQL_COMMENT = re.compile(r"(?:^|(?<=\s))#.*$", re.MULTILINE)
# With the lines below it that are indented more.
_COMMENTED_QUERY = re.compile(
    r"^(?P<before>(?P<hash>[ \t]*#)(?P<indent>[ \t]*)query\s*:)(?P<query>[^\n]*(?:\n(?P=hash)(?P=indent)[ \t]+[^\n]*)*)",
    re.MULTILINE,
)


def masked_copy(text: str) -> str:
    """The text of a config file for the run folder, with everything masked that may be a secret.

    Not masked are, in a URL, host, port, path, a short user name, ${VARIABLES} and harmless parameters; in a query, what is
    outside quotation marks; in comments, `name=value` with a harmless name. Where the end of a secret is unclear, more is
    masked rather than less.
    """
    for group in ("data", "predict"):
        query = text_of_value(text, (group, "query"))
        if query is not None:
            begin, end = query
            text = text[:begin] + _without_literals(_MYSQL_COMMENT.sub(f"# {MASK}", text[begin:end])) + text[end:]
    text = _COMMENTED_QUERY.sub(lambda found: found["before"] + _without_literals(found["query"]), text)
    text = _URL.sub(lambda found: found["scheme"] + _url(found["rest"]), text)
    text = _SENSITIVE_SETTING.sub(_setting, text)
    return _COMMENT.sub(lambda comment: _comment(comment.group()), text)


def _comment(text: str) -> str:
    text = _SECRET_AFTER_COLON.sub(_after_colon, _SETTING.sub(_setting, text))
    if _MENTIONS_SECRETS.search(text):
        text = _SECRET_WORD.sub(MASK, text)
    return _LONG_WORD.sub(MASK, text)


def _without_literals(query: str) -> str:
    """A query, masked from its first quotation mark to its last, and from a comment on; quotation marks around it stay."""
    lead = re.match(r"\s*(['\"])", query)
    inner = slice(lead.end(), -1) if lead and query.endswith(lead[1]) and len(query) > lead.end() else slice(0, None)
    body = query[inner]
    if found := _COMMENT_OF_QUERY.search(body):
        body = f"{body[: found.start()]}'{MASK}'"
        query = query[: inner.start or 0] + body + (query[-1] if inner.stop else "")
    quotes = [*_QUOTE.finditer(body)]
    if not quotes:
        return query
    masked = body[: quotes[0].start()] + MASK + (body[quotes[-1].end() :] if len(quotes) > 1 else "")
    return query[: inner.start] + masked + (query[-1] if inner.stop else "")


def _url(rest: str) -> str:
    """What follows `scheme://` on its line, masked, with any URL further on."""
    shown = ""
    found = _USER_AND_PASSWORD.match(rest)
    if found is not None:
        password = found["password"]
        shown = f"{_user(found['user'])}:{password if VARIABLE.fullmatch(password[:-1]) else f'{MASK}@'}"
    elif (found := _USER.match(rest)) is not None:
        shown = f"{_user(found['user'])}@"
    rest = rest[found.end() :] if found else rest
    place = _PLACE.match(rest)
    end = place.end() if place else 0
    return shown + _place(rest[:end]) + _URL.sub(lambda more: more["scheme"] + _url(more["rest"]), rest[end:])


def _user(user: str) -> str:
    return user if harmless_user(user) else MASK


def _place(text: str) -> str:
    """Host, port, path and parameters."""
    before, mark, query = text.partition("?")
    host, *path = before.split("/")
    name, colon, port = host.rpartition(":") if re.search(r":\d{1,5}\W*$", host) else (host, "", "")
    shown = [host if harmless_host(_bare(name)) else MASK + colon + port]
    shown += [step if harmless_step(_written(step)) else _masked_step(step) for step in path]
    parameters = [one if one in "&;" else _parameter(one) for one in re.split("([&;])", query)]
    return "/".join(shown) + mark + "".join(parameters)


def _written(step: str) -> str:
    """A step of a path without the characters that other kinds of URL have in a step or after it."""
    return _bare(step if ":" in step else step.replace("@", ""))


def _bare(text: str) -> str:
    return _BRACKETS.sub("", VARIABLE.sub("", text))


def _masked_step(step: str) -> str:
    """The step up to the first character that no name has, if that much is harmless; the rest is masked."""
    name = re.split("[#;=&]", step, maxsplit=1)[0]
    return (name if name != step and harmless_step(name) else "") + MASK


def _parameter(text: str) -> str:
    name, _, rest = text.partition("=")
    found = _VALUE_AND_BRACKETS.fullmatch(rest)
    value, brackets = (found["value"], found["brackets"]) if found else (rest, "")
    if not value:  # the name may be the secret
        return MASK + brackets if name else text
    return f"{name}={value if harmless_parameter(name, value) else MASK}{brackets}"


def _setting(found: re.Match[str]) -> str:
    if found["value"] == MASK or harmless_parameter(found["name"], found["value"].strip("'\"")):
        return found.group()
    return f"{found['name']}{found['equals']}{MASK}"


def _after_colon(found: re.Match[str]) -> str:
    return found.group() if VARIABLE.fullmatch(found["value"]) else f"{found['name']}{MASK}"
