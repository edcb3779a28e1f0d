"""Passwords come from the environment, and no copy holds one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties.config.urls import check_url, fill_url, is_url, masked_copy
from vsplit.protocol import ConfigError

CANARY = "CANARY7311"


def test_a_url_is_told_from_a_path() -> None:
    assert is_url("sqlite:///a.db")
    assert is_url("${CLINIC_DB}")
    assert not is_url("data/clinic.csv")
    assert not is_url("${HOME}/clinic.csv")


def test_variables_are_filled_in_part_by_part() -> None:
    source = "postgresql+psycopg://${USER_NAME}:${PASSWORD}@db.example.org:5432/${NAME}?sslmode=${MODE}"
    values = {"USER_NAME": "me", "PASSWORD": "a@b/c:d%20?#", "NAME": "visits", "MODE": "require"}
    url = fill_url(source, "clinic.yaml", values)
    assert (url.username, url.password, url.host, url.port) == ("me", "a@b/c:d%20?#", "db.example.org", 5432)
    assert (url.database, dict(url.query)) == ("visits", {"sslmode": "require"})
    assert "a@b" not in repr(url)


def test_a_variable_may_hold_the_whole_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLINIC_DB", "mysql+pymysql://me:p%40w@h/db")
    assert fill_url("${CLINIC_DB}", "clinic.yaml").password == "p@w"
    with pytest.raises(ConfigError, match=r"In clinic\.yaml, the key data\.source is not a URL") as caught:
        fill_url("${CLINIC_DB}", "clinic.yaml", {"CLINIC_DB": CANARY})
    assert CANARY not in str(caught.value)


def test_a_variable_that_is_not_set_is_named() -> None:
    with pytest.raises(
        ConfigError, match=r"In clinic\.yaml, the key data\.source needs .* DB_PASSWORD, which is not set"
    ):
        fill_url("postgresql://me:${DB_PASSWORD}@h/db", "clinic.yaml", {})


@pytest.mark.parametrize(
    "source",
    [
        f"postgresql://me:{CANARY}@h/db",
        f"postgresql://me:{CANARY}@x@h/db",
        f"postgresql://me:${{A}}{CANARY}@h/db",
        f"postgresql://me@h/db?sslpassword={CANARY}",
        f"snowflake://me@h/db?private_key_passphrase={CANARY}",
        f"mssql+pyodbc:///?odbc_connect=Driver%3DX%3BPWD%3D{CANARY}",
    ],
)
def test_a_password_in_the_file_is_refused_and_masked(source: str) -> None:
    with pytest.raises(
        ConfigError, match=r"In clinic\.yaml, the key data\.source holds a password.*\$\{DB_PASSWORD\}"
    ) as caught:
        check_url(source, "clinic.yaml")
    assert CANARY not in str(caught.value)
    if "odbc" not in source:
        assert CANARY not in masked_copy(f"source: {source}\n")


@pytest.mark.parametrize(
    "line",
    [
        "source: postgresql://me:${DB_PASSWORD}@host:5432/db?sslmode=require",
        "source: postgresql://me:${A}@host/db?password=${B}  # ask it@example.org",
        "address: 127.0.0.1:9440",
        "identity: ../keys/clinic.key",
        "source: sqlite:///data/clinic.db",
        "# see https://example.org/a@b",
    ],
)
def test_a_copy_of_a_file_without_passwords_is_the_same(line: str) -> None:
    assert masked_copy(f"job: x\n{line}\nwait: 3\n") == f"job: x\n{line}\nwait: 3\n"


@given(
    st.text(alphabet="abcXYZ019@:/?#&%+=~!$(){}'\"* ", min_size=1, max_size=20).map(lambda text: f"Q7{text}Q7"),
    st.sampled_from(["source: {}", "source: '{}'", 'source: "{}"', "{{data: {{source: {} }} }}", "# {} was before"]),
)
def test_whatever_the_password_its_copy_is_masked(password: str, line: str) -> None:
    text = line.format(f"postgresql://me:{password}@host/db")
    copy = masked_copy(f"job: x\n{text}\nwait: 3\n")
    assert "Q7" not in copy
    assert "***@host/db" in copy
    assert copy.startswith("job: x\n")
    assert copy.endswith("\nwait: 3\n")
