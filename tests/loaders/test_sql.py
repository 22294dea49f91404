"""Rows out of SQLite and PostgreSQL: every type kept, nothing written, no password anywhere."""

import datetime as dt
import subprocess
import sys
import tracemalloc
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa

from mlops_lib import config, loaders
from mlops_lib.errors import ConfigError, ContractError, DataError
from mlops_lib.loaders.base import SPLITS
from mlops_lib.loaders.files import LocalDataLoader
from mlops_lib.loaders.sql import SQLDataLoader
from mlops_lib.settings.data import SplitSettings
from mlops_lib.steps.settings import checked
from mlops_lib.steps.table import step_of
from tests.support.servers import PASSWORD

ROWS = 200
BIG = 2**53 + 1
TABLE = sa.Table(
    "orders",
    sa.MetaData(),
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("amount", sa.Numeric(20, 2)),
    sa.Column("count", sa.BigInteger),
    sa.Column("day", sa.Date),
    sa.Column("at", sa.DateTime(timezone=True)),
    sa.Column("open", sa.Boolean),
    sa.Column("rate", sa.Float),
    sa.Column("note", sa.Text),
    sa.Column("bought", sa.Integer),
)


def row(i):
    """Row `i`; the first 100 rows have no NULL, so that a chunk alone would guess other types."""
    gap = i >= 100 and i % 3 == 0
    return {
        "id": i,
        "amount": None if gap else Decimal(i) + Decimal("0.10"),
        "count": None if gap else BIG + i,
        "day": None if gap else dt.date(2026, 1, 1) + dt.timedelta(days=i),
        "at": None if gap else dt.datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=dt.UTC),
        "open": None if gap else i % 2 == 0,
        "rate": None if gap else i / 7,
        "note": None if gap else f"note '{i}'; --",
        "bought": i % 2,
    }


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('sqlite') / 'orders.db'}"
    _fill(url)
    return url


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def database(request):
    """URL without password, and the password."""
    if request.param == "sqlite":
        return request.getfixturevalue("sqlite"), ""
    port = request.getfixturevalue("postgres_port")
    url = f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
    _fill(url.replace("postgres@", f"postgres:{PASSWORD}@"))
    return url, PASSWORD


def _fill(url):
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        TABLE.metadata.drop_all(connection)
        TABLE.metadata.create_all(connection)
        connection.execute(TABLE.insert(), [row(i) for i in range(ROWS)])
    engine.dispose()


def loader(database, **more):
    url, password = database if isinstance(database, tuple) else (database, "")
    given = {"label": "bought", "key": "id", "chunk_rows": 30, "table": "orders", "password": password}
    return SQLDataLoader(url, **given | more)


def test_every_value_and_type_is_kept(database):
    """Numbers, dates, instants and NULLs are those of the database, with one type in every split."""
    orders = loader(database)
    seen = []
    for split in SPLITS:
        frame = orders.load(split)
        types = {"count": "float64", "open": "object", "rate": "float64", "amount": "float64", "id": "int64"}
        types |= {"day": "datetime64[us]", "at": "datetime64[us]", "note": "object", "bought": "int64"}
        assert {name: str(frame[name].dtype) for name in types} == types
        for got in frame.to_dict("records"):
            want = row(got["id"])
            seen.append(got["id"])
            for name, value in want.items():
                if value is None:
                    assert pd.isna(got[name])
                elif name in ("at", "day"):
                    assert got[name] == pd.Timestamp(value).tz_localize(None)
                else:
                    assert got[name] == (float(value) if name in ("amount", "count") else value)
    assert sorted(seen) == list(range(ROWS))


def test_splits_and_order_are_those_of_a_local_file(database, tmp_path):
    """The same rows from a file or from a database train the same model."""
    pd.DataFrame([row(i) for i in range(ROWS)]).to_parquet(tmp_path / "orders.parquet")
    local = LocalDataLoader(tmp_path / "orders.parquet", label="bought", key="id")
    orders = loader(database)
    for split in SPLITS:
        assert orders.load(split)["id"].tolist() == local.load(split)["id"].tolist()


def test_written_data_is_read_back_equal_and_trains(database, tmp_path):
    """Chunk by chunk to Parquet, of one type throughout; decimals and gaps reach a network as numbers."""
    orders = loader(database, features=("amount", "count", "rate"))
    rows = orders.write(tmp_path)
    assert sum(rows.values()) == ROWS
    back = LocalDataLoader(tmp_path, label="bought", key="id", features=("amount", "count", "rate"))
    frame = orders.load("train")
    assert back.load("train")["amount"].dropna().tolist() == frame["amount"].dropna().tolist()
    x, _ = next(iter(orders.torch("train", ROWS)))
    assert x.shape == (len(frame), 3) and x.isnan().sum().item() == 3 * frame["amount"].isna().sum()
    assert loader(database).write(tmp_path / "limited", limit=2) == dict.fromkeys(SPLITS, 2)


def test_values_are_bound_not_pasted(database):
    """A value that is SQL stays a value."""
    query = "SELECT id, amount, bought FROM orders WHERE note <> :note AND id < :most ORDER BY id"
    params = {"note": "x' OR 1=1; DROP TABLE orders; --", "most": 90}
    assert loader(database, table="", query=query, params=params).survey.rows == 90
    with pytest.raises(ConfigError, match=r"query has the values most, note, data\.sql\.params has note"):
        _ = loader(database, table="", query=query, params={"note": "x"}).survey


@pytest.mark.parametrize(
    "query",
    ["DELETE FROM orders RETURNING id, bought", "SELECT 1 AS id, 1 AS bought; DELETE FROM orders"],
)
def test_nothing_can_be_written(database, query):
    """The transaction is read-only, whatever the query says."""
    with pytest.raises(DataError, match="The database refused"):
        _ = loader(database, table="", query=query).survey
    assert loader(database).survey.rows == ROWS


@pytest.mark.slow
def test_a_function_that_writes_is_stopped_by_the_read_only_transaction(postgres_port):
    """A SELECT like any other by its looks; only the transaction keeps its function from deleting."""
    url = f"postgresql+psycopg://postgres@127.0.0.1:{postgres_port}/postgres"
    _fill(url.replace("postgres@", f"postgres:{PASSWORD}@"))
    wipe = "CREATE OR REPLACE FUNCTION wipe() RETURNS int LANGUAGE sql AS 'DELETE FROM orders; SELECT 1'"
    _execute(url, wipe)
    with pytest.raises(DataError, match="read-only transaction"):
        _ = loader((url, PASSWORD), table="", query="SELECT wipe() AS id, 1 AS bought").survey
    assert loader((url, PASSWORD)).survey.rows == ROWS


def _execute(url, *statements):
    engine = sa.create_engine(url.replace("postgres@", f"postgres:{PASSWORD}@"))
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
    engine.dispose()


def test_a_changed_value_changes_the_fingerprint(sqlite, tmp_path):
    """Same rows, same fingerprint; one cell changed, another one."""
    before = loader(sqlite).fingerprint()
    assert loader(sqlite, chunk_rows=7).fingerprint() == before
    engine = sa.create_engine(sqlite)
    try:
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE orders SET rate = rate + 1e-9 WHERE id = 151"))
        assert loader(sqlite).fingerprint() != before
    finally:
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE orders SET rate = :rate WHERE id = 151"), {"rate": 151 / 7})


def test_rows_that_change_between_the_two_readings_are_an_error(sqlite):
    """Half of one state and half of another is no dataset."""
    orders = loader(sqlite)
    orders.survey  # noqa: B018
    engine = sa.create_engine(sqlite)
    try:
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE orders SET bought = 1 - bought WHERE id = 1"))
        with pytest.raises(DataError, match="Two readings of the data differ"):
            orders.load("train")
    finally:
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE orders SET bought = 1 - bought WHERE id = 1"))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(tmp_path):
    """Forty times the rows in chunks of the same size take about the same memory."""

    def peak_of(rows):
        url = f"sqlite:///{tmp_path / f'{rows}.db'}"
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            TABLE.metadata.create_all(connection)
            connection.execute(TABLE.insert(), [row(i) for i in range(rows)])
        engine.dispose()
        orders = loader(url, chunk_rows=500)
        orders.survey  # noqa: B018
        tracemalloc.start()
        for _ in orders.chunks():
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    small = peak_of(1_000)
    assert peak_of(40_000) < 2 * small


READ_BIG = """
import sys
from mlops_lib.loaders.sql import SQLDataLoader
query = "SELECT * FROM big ORDER BY id LIMIT :rows"

def read(rows):
    big = SQLDataLoader(sys.argv[1], label="bought", key="id", query=query, params={"rows": rows},
                        chunk_rows=2_000, password=sys.argv[2])
    assert sum(len(chunk) for chunk in big.chunks()) == rows
    return int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1]) / 1024

few = read(10_000)
print(read(150_000) - few)
"""


@pytest.mark.slow
def test_a_server_s_rows_are_streamed(postgres_port):
    """150 MB out of PostgreSQL take a fraction of that in a process that has read 10 MB before: none is held."""
    url = f"postgresql+psycopg://postgres@127.0.0.1:{postgres_port}/postgres"
    rows = "SELECT i AS id, repeat('x', 1000) AS note, i % 2 AS bought FROM generate_series(1, 150000) i"
    _execute(url, "DROP TABLE IF EXISTS big", f"CREATE TABLE big AS {rows}")
    command = [sys.executable, "-c", READ_BIG, url, PASSWORD]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 150 / 3  # MB


def test_mixed_types_name_column_and_row(tmp_path):
    """SQLite keeps what it is given; a number among text stops with its place."""
    url = f"sqlite:///{tmp_path / 'mixed.db'}"
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE mixed (id, a, bought)"))
        rows = [{"i": i, "a": "x" if i < 40 else 3} for i in range(50)]
        connection.execute(sa.text("INSERT INTO mixed VALUES (:i, :a, 1)"), rows)
    with pytest.raises(DataError, match="'a' is text before row 40, and integer in that row"):
        _ = loader(url, table="", query="SELECT * FROM mixed ORDER BY id").survey


def test_a_big_integer_among_fractions_is_not_rounded_in_silence(tmp_path):
    """A float cannot hold 2**53 + 1: the message has the column and the value; smaller ones become floats."""
    url = f"sqlite:///{tmp_path / 'mixed.db'}"
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE mixed (id, a, b, bought)"))
        rows = [{"i": i, "a": BIG if i else 0.5, "b": 7 if i else 0.5} for i in range(50)]
        connection.execute(sa.text("INSERT INTO mixed VALUES (:i, :a, :b, 1)"), rows)
    with pytest.raises(DataError, match=f"'a' has fractions and {BIG}"):
        loader(url, table="", query="SELECT id, a, bought FROM mixed ORDER BY id").load("train")
    small = loader(url, table="", query="SELECT id, b, bought FROM mixed ORDER BY id").load("train")
    assert small["b"].max() == 7.0


def test_missing_things_are_named(sqlite, tmp_path):
    """Table, column, file, and rows without a label."""
    with pytest.raises(DataError, match=r"no table 'order'\. Tables: orders"):
        _ = loader(sqlite, table="order").survey
    with pytest.raises(DataError, match=r"no column 'sold'.*id, amount"):
        _ = loader(sqlite, label="sold").survey
    with pytest.raises(DataError, match="no SQLite file"):
        _ = loader(f"sqlite:///{tmp_path / 'none.db'}").survey
    with pytest.raises(DataError, match=r"33 rows have no 'rate'; the first are rows 102, 105"):
        _ = loader(sqlite, label="rate").survey
    with pytest.raises(ConfigError, match="one of"):
        loader(sqlite, query="SELECT 1")


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda rows: rows.assign(bought=None), r"200 rows have no 'bought'; the first are rows 0, 1"),
        (lambda rows: rows.drop(columns="id"), r"no column 'id' \(data\.key\)"),
        (lambda rows: None, r"returned a NoneType, not a DataFrame"),
    ],
)
def test_prepared_rows_keep_the_promises_too(sqlite, tmp_path, prepare, said):
    """What data.prepare makes of a query's rows is held to label, key and shape like any other rows."""
    with pytest.raises(DataError, match=said):
        loader(sqlite, prepare=prepare).write(tmp_path)
    assert not list(tmp_path.glob("*.parquet"))


CONFIG = """
data: {{loader: sql, source: "{source}", key: id, label: bought, sql: {{table: orders}}}}
evaluation: {{threshold: 0.5}}
"""


def test_a_password_in_the_environment_is_nowhere_to_be_seen(tmp_path, monkeypatch, capfd):
    """Settings, their display, the notebook's table and the error of a wrong password: none has it."""
    (tmp_path / "config.yaml").write_text(CONFIG.format(source="unset"))
    word = "hunter"[1:] + "2"  # in pieces, because the report of the error shows these lines too
    monkeypatch.setenv("DATA_SOURCE_PATH", f"postgresql+psycopg://postgres:h%40{word}@127.0.0.1:1/postgres")
    loaded = config.load_with_origins(tmp_path / "config.yaml")
    settings = loaded.settings
    assert settings.data.source == "postgresql+psycopg://postgres@127.0.0.1:1/postgres"
    assert settings.secrets.data_password.get_secret_value() == f"h@{word}"
    source = loaders.from_settings(settings)
    with pytest.raises(DataError, match="The database refused") as caught:
        _ = source.survey
    shown = [config.flat(settings), settings, settings.data.model_dump(), caught.getrepr(style="long")]
    text = " ".join(map(str, [*shown, *capfd.readouterr(), repr(source), vars(settings.data)]))
    assert word not in text and "***" in str(config.flat(settings)["secrets.data_password"])


@pytest.mark.parametrize(
    "source",
    [
        "postgresql://u:hunter2@h/d",
        "postgresql://h/d?password=hunter2",
        "postgresql://u:hun/hunter2@h/d",
        "postgresql://u:h hunter2@h/d",
        "postgresql://h/d?sslpassword=hunter2",
        "mssql+pyodbc:///?odbc_connect=UID%3Du%3BPWD%3Dhunter2",
    ],
)
def test_a_password_in_a_file_or_a_parameter_is_refused_and_not_repeated(tmp_path, source):
    """Both are kept: config.yaml in git, the parameter in the executed notebook."""
    (tmp_path / "config.yaml").write_text(CONFIG.format(source=source))
    with pytest.raises(ConfigError, match="DATA_SOURCE_PASSWORD") as file:
        config.load(tmp_path / "config.yaml")
    with pytest.raises(ContractError, match="DATA_SOURCE_PASSWORD") as parameter:
        checked(step_of("01_get_data"), {"source": source})
    assert "hunter2" not in f"{file.value} {parameter.value}"


@pytest.mark.parametrize("word", ["hun/ter2", "hunt er2"])
def test_a_password_that_is_no_word_is_taken_out_of_the_environment_too(tmp_path, monkeypatch, word):
    """What SQLAlchemy takes for the password goes to the secrets, whatever characters it has."""
    (tmp_path / "config.yaml").write_text(CONFIG.format(source="unset"))
    monkeypatch.setenv("DATA_SOURCE_PATH", f"postgresql+psycopg://u:{word}@h.invalid/d")
    settings = config.load(tmp_path / "config.yaml")
    assert settings.data.source == "postgresql+psycopg://u@h.invalid/d"
    assert settings.secrets.data_password.get_secret_value() == word


@pytest.mark.parametrize("query", ["sslpassword=hunter2", "odbc_connect=PWD%3Dhunter2"])
def test_a_secret_that_is_not_the_users_password_is_refused_by_name(tmp_path, monkeypatch, query):
    """It cannot be given apart from the address, and the address is shown."""
    (tmp_path / "config.yaml").write_text(CONFIG.format(source="unset"))
    monkeypatch.setenv("DATA_SOURCE_PATH", f"postgresql+psycopg://u@h.invalid/d?{query}")
    with pytest.raises(ConfigError, match=query.partition("=")[0]) as caught:
        config.load(tmp_path / "config.yaml")
    assert "hunter2" not in str(caught.value)


@pytest.mark.slow
def test_a_wrong_password_is_not_in_the_error(postgres_port):
    """A real server's refusal, as it is shown."""
    url, word = f"postgresql+psycopg://postgres@127.0.0.1:{postgres_port}/postgres", "wrong" + "one"
    with pytest.raises(DataError, match="password authentication failed") as caught:
        _ = loader((url, word)).survey
    assert word not in str(caught.getrepr(style="long"))


@pytest.mark.parametrize("how", [{"by": "label"}, {"by": "time", "column": "day"}])
def test_ways_to_split_are_those_of_a_file(sqlite, tmp_path, how):
    """Stratified, or by time: the same rows of a query and of a file are in the same splits."""
    query = "SELECT id, amount, count, day, bought FROM orders WHERE day IS NOT NULL ORDER BY id"
    split = SplitSettings(**how)
    orders = loader(sqlite, table="", query=query, split=split)
    rows = pd.DataFrame([row(i) for i in range(ROWS) if row(i)["day"]])[["id", "day", "bought"]]
    rows.to_parquet(tmp_path / "orders.parquet")
    local = LocalDataLoader(tmp_path / "orders.parquet", label="bought", key="id", split=split)
    for name in SPLITS:
        assert orders.load(name)["id"].tolist() == local.load(name)["id"].tolist() != []


def test_rows_without_a_label_are_dropped_and_counted(sqlite, tmp_path):
    """33 rows have no rate; the rest is written, with the number beside it."""
    orders = loader(sqlite, label="rate", missing_label="drop")
    assert orders.dropped_rows == 33 and sum(orders.write(tmp_path).values()) == ROWS - 33
    assert LocalDataLoader(tmp_path, label="rate").tags["mlops.rows_without_label"] == "33"


def test_texts_that_mean_a_missing_value(tmp_path):
    """data.missing_values holds for a database too, the label included."""
    url = f"sqlite:///{tmp_path / 'a.db'}"
    frame = pd.DataFrame({"id": range(90), "note": ["?", "a", "b"] * 30, "y": ["yes", "no", "-"] * 30})
    frame["age"] = [30, -999.0, 41] * 30
    frame.to_sql("t", sa.create_engine(url), index=False)
    more = {"table": "t", "label": "y", "key": "id"}
    made = SQLDataLoader(url, **more, missing_values=("?", "-", "-999"), missing_label="drop")
    found = pd.concat([made.load(split) for split in SPLITS])
    assert made.dropped_rows == 30 and sorted(found["y"].unique()) == ["no", "yes"]
    assert found["age"].isna().sum() == 30 and set(found["age"].dropna()) == {30.0}
    assert found["note"].isna().sum() == 30 and set(found["note"].dropna()) == {"a"}
    assert made.fingerprint() != SQLDataLoader(url, **more, missing_label="drop").fingerprint()
    with pytest.raises(DataError, match="30 rows have no 'y'"):
        SQLDataLoader(url, **more, missing_values=("-",)).load("train")
    numbers = SQLDataLoader(url, table="t", label="id", missing_values=("-999.0", "?"))
    assert numbers.load("train")["age"].min() == 30, (
        "a number is compared as one, as a request and a file are"
    )


def test_a_value_that_is_not_of_its_declared_type_is_named(tmp_path):
    """SQLite stores any text in a DATE; SQLAlchemy's traceback named no remedy."""
    url = f"sqlite:///{tmp_path / 'a.db'}"
    with sa.create_engine(url).begin() as connection:
        connection.execute(sa.text("CREATE TABLE t (id INTEGER PRIMARY KEY, day DATE, y INTEGER)"))
        connection.execute(sa.text("INSERT INTO t VALUES (1, '2026-01-31', 0), (2, '31/01/2026', 1)"))
    with pytest.raises(DataError, match=r"'31/01/2026'.*CAST"):
        SQLDataLoader(url, table="t", label="y").load("train")
    query = "SELECT id, CAST(day AS TEXT) AS day, y FROM t ORDER BY id"
    found = pa.concat_tables(SQLDataLoader(url, query=query, label="y").source_tables())
    assert found["day"].to_pylist() == ["2026-01-31", "31/01/2026"]
