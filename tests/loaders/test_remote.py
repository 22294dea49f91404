"""Tables behind addresses: a real S3 server, a web server, file://, and Delta Lake tables."""

import base64
import http.server
import threading
from typing import ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from mlops_lib.errors import DataError
from mlops_lib.loaders.base import SPLITS
from mlops_lib.loaders.files import LocalDataLoader


@pytest.fixture
def frame():
    """90 rows with a key, text and a label."""
    ids = np.arange(90)
    return pd.DataFrame({"id": ids, "text": [f"t{i % 7}" for i in ids], "y": ids % 2})


def loader(path, folder, **more) -> LocalDataLoader:
    given = {"label": "y", "key": "id", "remote_folder": folder / "remote"}
    return LocalDataLoader(path, **given | more)


def ids(dataset, split=None):
    splits = [split] if split else SPLITS
    return sorted(i for split in splits for i in dataset.load(split)["id"])


@pytest.fixture
def s3(s3_keys, monkeypatch):
    """A client of a running S3 server, whose address this process has."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_keys.url)
    return s3_keys.client


def put(client, key, content):
    client.put_object(Bucket="mlops", Key=key, Body=content.encode() if isinstance(content, str) else content)


@pytest.mark.slow
def test_tables_in_s3_are_those_of_files(s3, frame, tmp_path):
    """One object, a prefix of several formats, partitions and ready-made splits; a prefix is no other prefix."""
    put(s3, "one/a.csv", frame.to_csv(index=False))
    assert ids(loader("s3://mlops/one/a.csv", tmp_path)) == list(range(90))
    put(s3, "many/region=eu/a.csv", frame[:50].to_csv(index=False))
    put(s3, "many/region=us/b.parquet", frame[50:].to_parquet(index=False))
    put(s3, "many/_SUCCESS", "")
    put(s3, "many2/c.csv", frame.to_csv(index=False))
    dataset = loader("s3://mlops/many", tmp_path)
    assert ids(dataset) == list(range(90)) and set(dataset.load("train")["region"]) == {"eu", "us"}
    for number, split in enumerate(("train", "val", "test")):
        put(s3, f"ready/{split}.csv", frame[number * 30 : number * 30 + 30].to_csv(index=False))
    assert ids(loader("s3://mlops/ready/", tmp_path), "test") == list(range(60, 90))
    put(s3, "ready/more.xlsx", "x")
    with pytest.raises(DataError, match=r"s3://mlops/ready/more\.xlsx may be data and is not read"):
        loader("s3://mlops/ready", tmp_path).load("train")
    with pytest.raises(DataError, match=r"Data source s3://mlops/nothing does not exist"):
        loader("s3://mlops/nothing", tmp_path).load("train")
    with pytest.raises(DataError, match=r"Data source s3://nobucket/a\.csv cannot be read.*bucket"):
        loader("s3://nobucket/a.csv", tmp_path).fingerprint()


@pytest.mark.slow
def test_the_fingerprint_follows_the_object(s3, frame, tmp_path):
    """It needs no download, changes with the content, and the new content is read."""
    put(s3, "print/a.csv", frame.to_csv(index=False))
    first = loader("s3://mlops/print", tmp_path)
    before = first.fingerprint()
    assert not (tmp_path / "remote").exists()
    assert ids(first) == list(range(90)) and loader("s3://mlops/print", tmp_path).fingerprint() == before
    put(s3, "print/a.csv", frame.assign(id=frame["id"] + 100).to_csv(index=False))
    assert loader("s3://mlops/print", tmp_path).fingerprint() != before
    assert ids(loader("s3://mlops/print", tmp_path)) == list(range(100, 190))


@pytest.mark.slow
def test_a_wrong_secret_is_not_in_the_error(s3, tmp_path, monkeypatch):
    """The server's refusal, as it is shown."""
    word = "wrong" + "secret"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", word)
    with pytest.raises(DataError, match=r"Data source s3://mlops/one/a\.csv cannot be read") as caught:
        loader("s3://mlops/one/a.csv", tmp_path).load("train")
    assert word not in str(caught.value)


@pytest.mark.slow
def test_a_delta_table_in_s3_is_read(s3, frame, tmp_path):
    """The log and the files of the newest version are downloaded, and no others."""
    write_deltalake(tmp_path / "table", pa.Table.from_pandas(frame.assign(id=0)))
    write_deltalake(tmp_path / "table", pa.Table.from_pandas(frame), mode="overwrite")
    for path in (tmp_path / "table").rglob("*"):
        if path.is_file():
            put(s3, f"table/{path.relative_to(tmp_path / 'table')}", path.read_bytes())
    dataset = loader("s3://mlops/table", tmp_path)
    assert ids(dataset) == list(range(90)) and dataset.fingerprint()
    assert len([p for p in (tmp_path / "remote").rglob("*.parquet") if not p.name.startswith(".")]) == 1


class Server(http.server.BaseHTTPRequestHandler):
    """One file at /data/rows.csv for those with the password; ETags and HEAD as the test sets them."""

    content, etag, knows_head, wants = b"", "", True, ""
    requests: ClassVar[list[str]] = []

    def do_GET(self):
        self.requests.append(self.command)
        if self.wants and self.headers.get("Authorization") != self.wants:
            self.send_error(401)
        elif self.command == "HEAD" and not self.knows_head:
            self.send_error(405)
        elif not self.path.startswith("/data/rows.csv"):
            self.send_error(404)
        else:
            self.send_response(200)
            if self.etag:
                self.send_header("ETag", self.etag)
            self.send_header("Content-Length", str(len(self.content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(self.content)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def web(frame):
    """Address of a web server, and its handler."""
    handler = type("Handler", (Server,), {"content": frame.to_csv(index=False).encode(), "requests": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}", handler
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("etag", "knows_head"), [('"v1"', True), ("", True), ('"v1"', False)])
def test_a_file_on_a_web_server_is_read_and_its_version_known(web, frame, tmp_path, etag, knows_head):
    """By its ETag, or by its content where the server tells nothing; changed content is another fingerprint."""
    host, handler = web
    handler.etag, handler.knows_head = etag, knows_head
    address = f"http://{host}/data/rows.csv?version=1"
    dataset = loader(address, tmp_path)
    assert ids(dataset) == list(range(90))
    before = dataset.fingerprint()
    assert loader(address, tmp_path).fingerprint() == before
    if etag and knows_head:
        seen = handler.requests.count("GET")
        assert ids(loader(address, tmp_path)) == list(range(90)) and handler.requests.count("GET") == seen
    handler.content = frame.assign(id=frame["id"] + 100).to_csv(index=False).encode()
    handler.etag = etag and '"v2"'
    assert loader(address, tmp_path).fingerprint() != before
    assert ids(loader(address, tmp_path)) == list(range(100, 190))


def test_a_password_reaches_the_web_server_and_no_error(web, tmp_path):
    """As the user's, or as a bearer token; a refusal shows neither."""
    host, handler = web
    word = "p4ss" + "word"
    handler.wants = f"Basic {base64.b64encode(f'ann:{word}'.encode()).decode()}"
    assert ids(loader(f"http://ann@{host}/data/rows.csv", tmp_path, password=word)) == list(range(90))
    with pytest.raises(DataError, match="cannot be read: HTTP Error 401") as caught:
        loader(f"http://ann@{host}/data/rows.csv?token={word}", tmp_path / "other", password="x").load(
            "train"
        )
    assert word not in str(caught.value)
    handler.wants = f"Bearer {word}"
    assert ids(loader(f"http://{host}/data/rows.csv", tmp_path / "third", password=word)) == list(range(90))
    handler.wants = ""
    with pytest.raises(DataError, match=r"Data source http://.*/other\.csv does not exist"):
        loader(f"http://{host}/other.csv", tmp_path).load("train")
    with pytest.raises(DataError, match=r"Data source http://127\.0\.0\.1:1/a\.csv cannot be read"):
        loader("http://127.0.0.1:1/a.csv", tmp_path).load("train")


def test_a_file_address_is_a_path(frame, tmp_path):
    """file:// with an escaped space."""
    (tmp_path / "my data").mkdir()
    frame.to_csv(tmp_path / "my data/a.csv", index=False)
    assert ids(loader(f"file://{tmp_path}/my%20data/a.csv", tmp_path)) == list(range(90))


@pytest.mark.slow
def test_a_delta_table_is_its_newest_version(frame, tmp_path):
    """Partitions, columns that came later, and rows that were deleted."""
    table = tmp_path / "table"
    write_deltalake(table, pa.Table.from_pandas(frame[:60]), partition_by=["text"])
    write_deltalake(
        table, pa.Table.from_pandas(frame[60:].assign(more=1.5)), mode="append", schema_mode="merge"
    )
    before = loader(table, tmp_path).fingerprint()
    found = pd.concat(loader(table, tmp_path).load(split) for split in SPLITS).sort_values(
        "id", ignore_index=True
    )
    pd.testing.assert_frame_equal(found[list(frame)], frame)
    assert found["more"].isna().sum() == 60
    DeltaTable(table).delete("id >= 70")
    assert ids(loader(table, tmp_path)) == list(range(70))
    assert loader(table, tmp_path).fingerprint() != before
    dataset = loader(table, tmp_path, streaming=True)
    assert sorted(i for split in SPLITS for part in dataset.parts(split) for i in part["id"]) == list(
        range(70)
    )


def test_a_missing_package_is_named_with_the_command(frame, tmp_path, monkeypatch):
    """s3:// without boto3, a Delta Lake table without deltalake."""
    import sys

    from mlops_lib.errors import ConfigError

    write_deltalake(tmp_path / "table", pa.Table.from_pandas(frame))
    monkeypatch.setitem(sys.modules, "boto3", None)
    monkeypatch.setitem(sys.modules, "deltalake", None)
    with pytest.raises(ConfigError, match=r"pip install 'mlops-lib\[s3\]'"):
        loader("s3://mlops/a.csv", tmp_path).load("train")
    with pytest.raises(ConfigError, match=r"pip install 'mlops-lib\[delta\]'"):
        loader(tmp_path / "table", tmp_path).load("train")
