"""Passwords in addresses."""

import pytest

from mlops_lib.redact import mask, password_in, without_password


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://user:hun@ter2@host/db",
        "https://user:hunter2@host:5000",
        "postgresql://host/db?password=hunter2",
        "postgresql+psycopg://user:hun/ter2@host/db",
        "postgresql+psycopg://user:hun ter2@host/db",
        "postgresql+psycopg://user:5/hunter2@host/db",
        "postgresql://host/db?sslmode=require&sslpassword=hunter2",
        "mssql+pyodbc://host/?odbc_connect=DRIVER%3Dx%3BPWD%3Dhunter2",
        "https://host/api?access_token=hunter2&b=1",
    ],
)
def test_no_part_of_a_password_is_shown(uri):
    """A password may hold an '@'; neither half of it survives, and the host does."""
    shown = mask(f"cannot reach {uri} now")
    assert "ter2" not in shown and "hun" not in shown and "host" in shown


@pytest.mark.parametrize(
    ("uri", "password", "rest"),
    [
        ("postgresql+psycopg://u:hun/ter2@h/d", "hun/ter2", "postgresql+psycopg://u@h/d"),
        ("postgresql+psycopg://u:hunt er2@h/d", "hunt er2", "postgresql+psycopg://u@h/d"),
        ("postgresql://u:h%40un@h:5/d?options=a@b", "h@un", "postgresql://u@h:5/d?options=a@b"),
        ("postgresql://h/d?pwd=hun&sslmode=x", "hun", "postgresql://h/d?sslmode=x"),
        ("mssql+pyodbc:///?odbc_connect=A%3Dx;PWD=h un", "A=x;PWD=h un", "mssql+pyodbc:///"),
        ("postgresql://u@h:5432/d?passfile=/p", "", "postgresql://u@h:5432/d?passfile=/p"),
        ("sqlite:////tmp/a:b@c.db", "", "sqlite:////tmp/a:b@c.db"),
        ("s3://bucket/a:b@c", "", "s3://bucket/a:b@c"),
        ("https://host:5000/path", "", "https://host:5000/path"),
        ("http://host:8000/exports/me@corp.csv", "", "http://host:8000/exports/me@corp.csv"),
        ("http://u:p@host:8000/me@corp.csv", "p", "http://u@host:8000/me@corp.csv"),
        ("http://host/rows?compass=3&maximum_tokens=1", "", "http://host/rows?compass=3&maximum_tokens=1"),
        ("data/rows?token=1.csv", "", "data/rows?token=1.csv"),
    ],
)
def test_a_password_is_found_where_a_database_driver_finds_it(uri, password, rest):
    """Slashes and spaces belong to it; hosts, ports, paths and options do not."""
    assert password_in(uri) == password
    if "://" in uri:
        assert without_password(uri) == rest


@pytest.mark.parametrize(
    "text",
    [
        "No service at http://127.0.0.1:8080: ask ops@example.com",
        "https://host:5000/a/b and file:///x/y are there",
        "see docs://a/b@c",
    ],
)
def test_text_without_a_password_stays_as_it_is(text):
    """Ports, paths and mail addresses are no secrets."""
    assert mask(text) == text


@pytest.mark.parametrize("piece", ["//a:", "//a:1", "?pass", "/", "//u:p@", "//x:y z"])
def test_a_text_that_is_written_to_be_slow_is_masked_too(piece):
    """In proportion to its length; a run of characters that is read again for every address takes hours here."""
    text = piece * 250_000
    assert mask(f"{text} postgresql://u:hunter2@host").endswith("@host")


def test_two_addresses_of_one_line_are_masked_apart():
    """The host of each is still to be seen."""
    assert (
        mask("http://u:p@one/x or postgresql://v:q@two:5/y") == "http://***@one/x or postgresql://***@two:5/y"
    )


def test_a_key_that_a_provider_repeats_is_masked(monkeypatch):
    """The values of the API key variables are hidden wherever they are in a text."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-1")
    monkeypatch.setenv("TECTON_API_KEY", "tecton-secret-2")
    assert mask("401: sk-secret-1 is wrong, tecton-secret-2 too") == "401: *** is wrong, *** too"
