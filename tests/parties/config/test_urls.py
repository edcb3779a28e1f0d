"""Passwords come from the environment, and no copy holds one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties.config.masking import masked_copy
from parties.config.urls import check_url, fill_url, is_url
from vsplit.protocol import ConfigError

CANARY = "CANARY7311"
ROOT = Path(__file__).parents[3]


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
        f"snowflake://me@h/db?private_key={CANARY}",
        f"bigquery://project/db?credentials_base64={CANARY}",
        f"trino://me@h/db?jwt={CANARY}",
        f"databricks://h/db?x=1&sig={CANARY}",
        f"postgresql://me@h/db?sslmode=require;pin={CANARY}",
        f"postgresql://me@h/db?SSLMODE=require&{CANARY}",
        f"postgresql://me@h/db?{CANARY}=",
        f"postgresql://me@h/db?sslmode=require%26key%3D{CANARY}",
        f"postgresql://me@h/db?application_name=x%3Bkey%3D{CANARY}",
        f"postgresql://me@h/db?key=${{A}}{CANARY}",
        f"postgresql://me@h/db?options=-c%20key%3D{CANARY}",
        f"postgresql://me@h/db#{CANARY}",
        f"postgresql://me@h/db?sslmode=require#{CANARY}",
        f"postgresql://me@h/db;key={CANARY}",
        f"postgresql://token-0123456789-abcdef-{CANARY}@h/db",
        f"databricks://dapi12345678901234567890{CANARY}@h/db",
        f"postgresql://me%3A{CANARY}@h/db",
        f"postgresql://me:${{A}}@{CANARY}@h/db",
        f"postgresql://h;key={CANARY}/db",
        f"postgresql://h/db@{CANARY}:x@h",
        f"sqlite:///a.db?key={CANARY}",
        f"sqlite+pysqlcipher://:{CANARY}@/a.db",
        f"sqlite:///a.db;key={CANARY}",
        f"postgresql://me@h/db?connect_timeout={CANARY}",
        f"postgresql://me@h/db?role=a,key:{CANARY}",
        f"postgresql://me@h/db?application_name=a/{CANARY}",
        f"postgresql://me@h/db?schema=a012345678{CANARY}",
    ],
)
def test_a_password_in_the_file_is_refused_and_masked(source: str) -> None:
    with pytest.raises(
        ConfigError, match=r"In clinic\.yaml, the key data\.source contains a password.*\$\{DB_PASSWORD\}"
    ) as caught:
        check_url(source, "clinic.yaml")
    assert CANARY not in str(caught.value)
    assert CANARY not in masked_copy(f"source: {source}\n")
    assert CANARY not in masked_copy(f"wait: 3  # was {source} once\n")
    assert CANARY not in masked_copy(f"# source: '{source}'\n")
    assert CANARY not in masked_copy(f"data: {{key: [a], source: {source}}}\n")


@pytest.mark.parametrize(
    "line",
    [
        "source: postgresql://me:${DB_PASSWORD}@host:5432/db?sslmode=require",
        "source: postgresql://me:${A}@host/db?password=${B}  # ask it@example.org",
        "address: 127.0.0.1:9440",
        "identity: ../keys/clinic.key",
        "source: sqlite:///data/clinic.db",
        "# see https://example.org/a@b",
        "source: snowflake://${USER}:${A}@x.snowflakecomputing.com/db/schema?warehouse=WH&private_key=${KEY}",
        "source: mssql+pyodbc://me:${A}@192.168.100.200:14330/db?driver=ODBC+Driver+18+for+SQL+Server",
        "data: {source: 'sqlite:////var/data/visits 2024.db?mode=ro&uri=true', query: select * from visits}",
        "source: postgresql+psycopg://${USER}:${A}@${HOST}:5432/${NAME}?sslmode=${MODE}",
        "data: {source: sqlite:///${NAME}}",
        "  query: select a, b from visits where c > 3 and d <= 4",
        "  # query: select * from visits      # only with a database URL",
        "# an embedding of 16 numbers, at 127.0.0.1:9440, since 2024-03-01; see ../runs/clinic-1/order.secret",
        f"identity: x # vsplit1{'a2' * 29} is the password of nobody",
        "# each key column of the 2 parties; keys/clinic.key is made by vsplit identity",
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


@pytest.mark.parametrize(
    "file", sorted((ROOT / "configs").glob("*/*.yaml")), ids=lambda file: f"{file.parent.name}/{file.name}"
)
def test_a_copy_of_a_ready_config_is_the_same(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert masked_copy(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "data:\n  query: select * from dblink('host=h password=CANARY7311', 'select 1') as t\n",
        "data:\n  query: \"select * from dblink('host=h key=CANARY7311') as t\"\n",
        "data:\n  query: 'select * from f(''CANARY7311'') as t'\n",
        "data:\n  query: >\n    select pgp_sym_decrypt(a,\n      'CANARY7311\n      CANARY7311') from t\n",
        "data:\n  query: |\n    select $k$CANARY7311$k$ from t\n",
        "data:\n  query: \"select a\nfrom f('CANARY7311')\"\n",
        "data: {source: sqlite:///a.db, query: select read('https://h/a?sig=CANARY7311')}\n",
        "data:\n  # query: select f('CANARY7311')\n",
        "data:\n  # query: >\n  #   select f('x',\n  #   'CANARY7311')\n",
        "# password: CANARY7311\n",
        "# the old token:  CANARY7311 and so on\n",
        "# Server=h;Database=d;Uid=me;Cipher=CANARY7311\n",
        "wait: 3 # pin=CANARY7311\n",
        "# PWD='CANARY 7311 CANARY7311'\n",
        "# curl https://hooks.example.org/services/CANARY7311-0123456789\n",
        "# postgresql://a@h/b and mysql://me:CANARY7311@h/d\n",
        "# https://h/?CANARY7311 https://h/#CANARY7311\n",
        "data:\n  query: select a from t -- the pin is CANARY7311\n",
        "data:\n  query: >\n    select a /* CANARY7311\n    CANARY7311 */ from t\n",
        "data:\n  query: 'select ''x'' from t -- CANARY7311'\n",
        "data:\n  query: |\n    select a # CANARY7311\n    from t\n",
        "data:\n  # query: select a from t -- CANARY7311\n",
        "# DB_PASSWORD is CANARY7311\n",
        "# the password CANARY7311, of old\n",
        "wait: 3  # pw: CANARY7311\n",
        "# export PGPASSWORD CANARY7311\n",
        "# Authorization: Bearer CANARY7311\n",
        "# eyJhbGciOiJIUzI1NiJ9.CANARY7311.dozjgNryP4J3jVmNHl0w5N\n",
        "# ghp_abcdefghijCANARY7311\n",
    ],
)
def test_secrets_in_queries_and_comments_are_masked(text: str) -> None:
    copy = masked_copy(text)
    assert CANARY not in copy
    assert copy.count("\n") <= text.count("\n")
    assert "***" in copy


def test_the_names_in_a_masked_query_stay() -> None:
    text = (
        "data:\n  query: select pid, tsh from visits where ward = 'B 7' and kind in ('x', 'y') order by pid\nwait: 3\n"
    )
    assert masked_copy(
        text
    ) == "data:\n  query: select pid, tsh from visits where ward = *** ) order by pid\nwait: 3\n".replace(
        "*** )", "***)"
    )


def test_parameters_that_occur_twice_are_filled_in_as_well() -> None:
    source = "trino://me@h/db?sslmode=${A}&sslmode=${B}"
    assert dict(fill_url(source, "clinic.yaml", {"A": "one", "B": "two"}).query) == {"sslmode": ("one", "two")}
