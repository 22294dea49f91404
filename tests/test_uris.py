"""Passwords in addresses."""

import pytest

from mlops_lib.uris import masked


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://user:hun@ter2@host/db",
        "https://user:hunter2@host:5000",
        "postgresql://host/db?password=hunter2",
    ],
)
def test_no_part_of_a_password_is_shown(uri):
    """A password may hold an '@'; neither half of it survives, and the host does."""
    shown = masked(f"cannot reach {uri} now")
    assert "ter2" not in shown and "hun" not in shown and "host" in shown
