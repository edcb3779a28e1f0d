"""`proxy` in a party file, and what the environment adds to it. No password stands in a file or in a sentence."""

from __future__ import annotations

from typing import Any

import pytest

from parties.config.proxy import check_proxy, route_to
from vsplit.protocol import ConfigError

CANARY = "CANARY7311"


def route(written: str | None, host: str = "clinic.example", **environment: str) -> Any:
    return route_to(host, 9440, written, "lab.yaml", environment)


@pytest.mark.parametrize(
    ("written", "shown", "pair"),
    [
        ("proxy.example:3128", "http://proxy.example:3128", (None, None)),
        ("http://proxy.example:3128", "http://proxy.example:3128", (None, None)),
        ("http://10.0.0.1:3128/", "http://10.0.0.1:3128", (None, None)),
        ("http://[2001:db8::1]:3128", "http://[2001:db8::1]:3128", (None, None)),
        ("http://${U}:${P}@proxy.example:3128", "http://proxy.example:3128", ("me", "a@b:c%20/?#")),
        ("${U}:${P}@proxy.example:3128", "http://proxy.example:3128", ("me", "a@b:c%20/?#")),
        ("http://lab:${P}@proxy.example:3128", "http://proxy.example:3128", ("lab", "a@b:c%20/?#")),
        ("http://${U}@proxy.example:3128", "http://proxy.example:3128", ("me", None)),
        ("${WHOLE}", "http://proxy.example:8080", ("you", "p@w")),
    ],
)
def test_a_proxy_with_its_variables(written: str, shown: str, pair: tuple[str | None, str | None]) -> None:
    check_proxy(written, "lab.yaml")
    found = route(written, U="me", P="a@b:c%20/?#", WHOLE="http://you:p%40w@proxy.example:8080").proxy
    assert str(found) == shown
    assert (found.name, found.password) == pair


@pytest.mark.parametrize(
    "written",
    [
        f"http://me:{CANARY}@proxy.example:3128",
        f"me:{CANARY}@proxy.example:3128",
        f"http://me:${{P}}{CANARY}@proxy.example:3128",
        f"http://{CANARY}@proxy.example:3128",
        f"http://${{U}}:{CANARY}@proxy.example:3128",
        f"http://${{U}}:{CANARY}@x@proxy.example:3128",
    ],
)
def test_a_password_in_the_file_is_refused(written: str) -> None:
    with pytest.raises(
        ConfigError, match=r"In lab\.yaml, the key proxy contains a password.*\$\{PROXY_PASSWORD\}"
    ) as caught:
        check_proxy(written, "lab.yaml")
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "written",
    ["proxy.example", "http://proxy.example", "proxy.example:0", "proxy.example:99999", "socks5://p:1080", "ftp://p:21",
     "http://p:3128/path", f"http://p:3128?{CANARY}", f"http://p:3128#{CANARY}", "http://@p:3128", "http://[::1:3128",
     "http://p q:3128", "://p:3128", "p:3128@", ":3128"],
)  # fmt: skip
def test_what_is_no_proxy(written: str) -> None:
    with pytest.raises(
        ConfigError, match=r"In lab\.yaml, the key proxy is not a proxy .* it must be HOST:PORT"
    ) as caught:
        check_proxy(written, "lab.yaml")
    assert CANARY not in str(caught.value)


def test_tls_to_the_proxy_itself_is_refused_in_a_sentence() -> None:
    with pytest.raises(ConfigError, match="TLS to the proxy itself"):
        check_proxy("https://proxy.example:3128", "lab.yaml")


def test_a_variable_that_is_not_set_or_holds_no_proxy() -> None:
    with pytest.raises(ConfigError, match=r"In lab\.yaml, the key proxy needs .* variable P, which is not set"):
        route("http://${U}:${P}@proxy.example:3128", U="me")
    with pytest.raises(ConfigError, match=r"what its variable holds is not a proxy") as caught:
        route("${P}", P=CANARY)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY"])
def test_the_environment_is_used_on_request_and_named_when_it_is_not(name: str) -> None:
    value = f"http://me:{CANARY}@proxy.example:3128"
    assert str(route("environment", **{name: value}).proxy) == "http://proxy.example:3128"
    unused = route(None, **{name: value})
    assert unused.proxy is None
    assert unused.hint == (
        f"{name} is set to http://proxy.example:3128, which vsplit does not use unless the party file says proxy: environment."
    )


def test_an_environment_with_nothing_in_it() -> None:
    assert route(None).hint == ""
    assert route(None, https_proxy="").hint == ""
    assert "https_proxy is not set" in route("environment").hint
    assert route("environment").proxy is None


def test_an_environment_with_something_else_in_it_is_not_shown() -> None:
    value = f"socks5://{CANARY}:1080"
    assert route(None, https_proxy=value).hint.startswith("https_proxy is set, which")
    with pytest.raises(ConfigError, match="The environment variable https_proxy is not a proxy") as caught:
        route("environment", https_proxy=value)
    assert CANARY not in str(caught.value)
    assert str(route("environment", https_proxy="proxy.example").proxy) == "http://proxy.example:80"


@pytest.mark.parametrize("sign", ["/", "#", "?"])
def test_a_password_in_the_environment_that_is_not_written_as_in_an_address(sign: str) -> None:
    with pytest.raises(ConfigError, match=r"https_proxy is not a proxy .* such as %2F for / and %23 for #\.") as caught:
        route("environment", https_proxy=f"http://me:{CANARY}{sign}{CANARY}@proxy.example:3128")
    assert CANARY not in str(caught.value)
    proxy = route("environment", https_proxy="http://m%40e:%2F%23%3F%25@proxy.example:3128").proxy
    assert proxy is not None and (proxy.name, proxy.password) == ("m@e", "/#?%")


@pytest.mark.parametrize(
    ("listed", "host", "exempt"),
    [
        ("*", "clinic.example", True),
        ("clinic.example", "clinic.example", True),
        ("example", "clinic.example", True),
        (".example", "clinic.example", True),
        ("*.example", "clinic.example", True),
        ("localhost, CLINIC.example", "clinic.example", True),
        ("clinic.example:9440", "clinic.example", True),
        ("clinic.example:443", "clinic.example", False),
        ("inic.example", "clinic.example", False),
        ("clinic.example.org", "clinic.example", False),
        (",,", "clinic.example", False),
        ("localhost clinic.example", "clinic.example", True),
        ("localhost\t10.0.0.0/8 ,.org", "10.1.2.3", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3:9440", "10.1.2.3", True),
        ("2001:db8::/32", "2001:db8::1", True),
        ("[2001:db8::1]:9440", "2001:db8::1", True),
        ("2001:db8::1", "2001:db8::1", True),
    ],
)
def test_no_proxy(listed: str, host: str, exempt: bool) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        found = route("environment", host, https_proxy="http://proxy.example:3128", **{name: listed})
        assert (found.proxy is None) is exempt
        assert found.hint == (f"no_proxy exempts {host} from https_proxy, so no proxy was used." if exempt else "")
