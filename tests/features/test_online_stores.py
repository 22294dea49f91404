"""The same repository on SQLite, Redis and PostgreSQL: real servers, the same answers."""

import pytest

from mlops_lib import features
from tests.support import servers
from tests.support.feature_projects import NOW, write_config, write_repo


@pytest.fixture(params=["sqlite", "redis", "postgres"])
def online(request):
    """The `online_store` entry of feature_store.yaml."""
    if request.param == "sqlite":
        return "{type: sqlite, path: data/online.db}"
    port = request.getfixturevalue(f"{request.param}_port")
    if request.param == "redis":
        return f'{{type: redis, connection_string: "127.0.0.1:{port}"}}'
    return (
        f"{{type: postgres, host: 127.0.0.1, port: {port}, database: postgres, db_schema: public, "
        f"user: postgres, password: {servers.PASSWORD}, sslmode: disable}}"
    )


@pytest.mark.slow
def test_values_gaps_and_ages_come_back_from_every_store(tmp_path, online):
    """A fresh user, one past a TTL, one without a view, and one that nobody knows, in one lookup."""
    write_repo(tmp_path / "repo", online)
    provider = features.from_settings(write_config(tmp_path))
    provider.apply()
    provider.materialize(NOW.replace(year=2000), NOW)
    rows = provider.online(provider.describe("small"), [{"user_id": user} for user in (2, 1, 9, 3)])
    assert [dict(row.values) for row in rows] == [
        {"visits": 9, "age": 22.0, "city": "city 2"},
        {"visits": 5, "age": 21.0, "city": "city 1"},
        {"visits": None, "age": None, "city": None},
        {"visits": None, "age": 23.0, "city": "city 3"},
    ]
    assert rows[0].trouble == {"visits": "stale"} and rows[1].trouble == {}
    assert rows[2].trouble == dict.fromkeys(("visits", "age", "city"), "unknown_entity")
    assert rows[3].trouble == {"visits": "unknown_entity"}
