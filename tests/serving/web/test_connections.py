"""Connections of hostile and slow clients, on real sockets against a service without a model."""

import json
import socket
import threading
from collections.abc import Iterator
from functools import cached_property
from unittest.mock import Mock

import pytest
import uvicorn
from uvicorn.server import ServerState

from mlops_lib import config
from serving.app import create_app
from serving.web.connections import Connection
from tests.support.servers import free_port
from tests.support.waiting import LIMIT_S, until

HEAD_BYTES = 4096


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A service with a limit of 4 KiB and 1 s for a head, 2 s for a request and 3 s between two.

    uvicorn's own time between two requests is longer than any test waits.
    """
    folder = tmp_path_factory.mktemp("connections")
    (folder / "config.yaml").write_text(
        "mlflow: {tracking_uri: sqlite:///none.db}\nmodel: {name: none}\n"
        f"serving: {{head_bytes: {HEAD_BYTES}, head_timeout_s: 1.0, keep_alive_s: 3.0, request_timeout_s: 2.0, body_bytes: 10000}}\n"
    )
    linger = pytest.MonkeyPatch()
    linger.setattr("serving.web.connections.LINGER_S", 0.3)
    names = ("head_bytes", "head_timeout_s", "message_bytes", "keep_alive_s")
    before = {name: getattr(Connection, name) for name in names}
    app = create_app(config.load_for_service(folder / "config.yaml").settings)
    number = free_port()
    server = uvicorn.Server(
        uvicorn.Config(
            app.gateway, host="127.0.0.1", port=number, log_level="error", timeout_keep_alive=int(LIMIT_S) * 2
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started, "the service listens")
    yield number
    server.should_exit = True
    thread.join(LIMIT_S)
    for name, value in before.items():
        setattr(Connection, name, value)
    linger.undo()


def connected() -> Connection:
    """A connection whose requests reach no application."""
    loop = Mock()
    loop.create_task = lambda work: work.close() or Mock()
    connection = Connection(uvicorn.Config(lambda scope, receive, send: None), ServerState(), {}, _loop=loop)
    connection.connection_made(Mock(is_closing=lambda: False))
    return connection


class Client:
    """A socket that sends raw bytes, all at once or in pieces."""

    def __init__(self, port: int) -> None:
        self._port = port

    @cached_property
    def socket(self) -> socket.socket:
        """Connected when it is first used: a head has a second from then."""
        return socket.create_connection(("127.0.0.1", self._port), LIMIT_S)

    def send(self, data: bytes) -> bool:
        """Send; False when the server has closed the connection."""
        try:
            self.socket.sendall(data)
        except OSError:
            return False
        return True

    def rest(self) -> bytes:
        """All bytes until the server closes the connection."""
        received = b""
        try:
            while part := self.socket.recv(65536):
                received += part
        except ConnectionResetError:
            pass
        return received

    def answer(self) -> tuple[int, dict[str, object]]:
        """Status and JSON of one answer, on a connection that stays open or not."""
        received = b""
        while b"\r\n\r\n" not in received:
            part = self.socket.recv(65536)
            assert part, received
            received += part
        head, _, body = received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split()[0])
        while len(body) < length:
            part = self.socket.recv(65536)
            assert part, received
            body += part
        return int(head.split()[1]), json.loads(body[:length])


@pytest.fixture
def client(port: int) -> Iterator[Client]:
    made = Client(port)
    yield made
    made.socket.close()


def request(path: str = "/livez", *headers: str, method: str = "GET") -> bytes:
    """The head of a request."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


@pytest.mark.parametrize(
    "head",
    [
        b"GET /livez HTTP/1.1\r\nX: " + b"a" * 2 * HEAD_BYTES,
        request("/livez", f"X: {'a' * 2 * HEAD_BYTES}"),
        request("/livez", *[f"X-{n}: {n}" for n in range(1000)]),
        request(f"/livez?{'a' * 2 * HEAD_BYTES}"),
        request("/predict", f"X: {'a' * 2 * HEAD_BYTES}", "Content-Length: 2", method="POST") + b"{}",
        b"GET /" + b"a" * 2 * HEAD_BYTES,
    ],
    ids=["endless", "one header", "many headers", "query", "with body", "endless path"],
)
def test_a_head_that_is_too_long_is_refused(client: Client, head: bytes) -> None:
    """431 with a problem object, before the gateway sees the request, and the connection is closed."""
    client.send(head)
    answer = client.rest()
    assert answer.startswith(b"HTTP/1.1 431 ") and b"serving.head_bytes" in answer


def test_a_head_of_64_mib_takes_no_memory_and_holds_up_nobody(port: int, client: Client) -> None:
    """The connection is closed after the first pieces, and a neighbour is answered."""
    client.send(b"GET /livez HTTP/1.1\r\n")
    piece, sent = b"X: " + b"a" * 2**16, 0
    while sent < 1024 and client.send(piece):
        sent += 1
    assert sent < 1024
    neighbour = Client(port)
    neighbour.send(request())
    assert neighbour.answer()[0] == 200


def test_a_long_body_in_the_same_piece_is_no_long_head(client: Client) -> None:
    """The limit counts bytes of the head alone, and pipelined requests one by one."""
    body = b"[" + b" " * 9000 + b"]"
    client.send(request("/predict", f"Content-Length: {len(body)}", method="POST") + body)
    assert client.answer()[0] == 503  # there is no model
    client.send(request("/livez", f"X: {'a' * 2000}") * 4)
    assert [client.answer()[0]] == [200]


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"", b""), (b"GET", b"408"), (b"GET /livez HTTP/1.1\r\nHost: x\r\n", b"408"), (b"\r\n", b"408")],
    ids=["nothing", "half a method", "half a head", "empty lines"],
)
def test_a_connection_without_a_whole_head_is_closed(client: Client, sent: bytes, status: bytes) -> None:
    """After head_timeout_s: 408 where something came, and nothing where nothing came."""
    client.send(sent)
    assert client.rest()[9:12] == status


def test_an_idle_connection_is_closed_after_keep_alive_s(client: Client) -> None:
    """By the setting, not by uvicorn's own time, and without an answer to a request that nobody sent."""
    client.send(request())
    assert client.answer()[0] == 200
    assert client.rest() == b""


@pytest.mark.parametrize("more", [b"", request()], ids=["alone", "with another request"])
def test_a_connection_that_was_answered_early_is_closed_too(client: Client, more: bytes) -> None:
    """A body that comes after its answer, and makes the request whole, leaves no connection without a time."""
    client.send(request("/nowhere", "Content-Length: 2", method="POST"))
    assert client.answer()[0] == 404
    client.send(b"{}" + more)
    assert not more or client.answer()[0] == 200
    assert client.rest() == b""


def test_a_dripping_head_is_closed(client: Client) -> None:
    """Each new byte gives no new time."""
    client.send(b"GET /livez HTTP/1.1\r\n")
    done = threading.Event()

    def drip() -> None:
        while not done.wait(0.05) and client.send(b"X: 1\r\n"):
            pass

    thread = threading.Thread(target=drip)
    thread.start()
    assert client.rest().startswith(b"HTTP/1.1 408 ")
    done.set()
    thread.join()


def test_a_second_request_has_the_same_limits(client: Client) -> None:
    """Half a head after an answered request on the same connection is closed too."""
    client.send(request())
    assert client.answer()[0] == 200
    client.send(b"GET /live")
    assert client.rest().startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    ("path", "chunked"), [("/predict", False), ("/features", True), ("/v1/chat/completions", True)]
)
def test_a_dripping_body_is_refused(client: Client, path: str, chunked: bool) -> None:
    """request_timeout_s covers reading: 408, and the connection is closed though the drip goes on."""
    kind = "Transfer-Encoding: chunked" if chunked else "Content-Length: 9000"
    client.send(request(path, kind, "Content-Type: application/json", method="POST"))
    done = threading.Event()

    def drip() -> None:
        while not done.wait(0.05) and client.send(b"1\r\n \r\n" if chunked else b" "):
            pass

    thread = threading.Thread(target=drip)
    thread.start()
    answer = client.rest()
    done.set()
    thread.join()
    assert answer.startswith(b"HTTP/1.1 408 ") and b"serving.request_timeout_s" in answer


@pytest.mark.parametrize("kind", ["trailers", "one trailer", "chunk extensions"])
def test_bytes_that_are_no_body_are_bounded(client: Client, kind: str) -> None:
    """Trailers and extensions of chunks are no part of the body that the gateway counts."""
    client.send(request("/predict", "Transfer-Encoding: chunked", method="POST"))
    pieces = {
        "trailers": b"X: " + b"a" * 1000 + b"\r\n",
        "one trailer": b"a" * 1000,
        "chunk extensions": b";a=b" * 250,
    }
    client.send({"trailers": b"0\r\n", "one trailer": b"0\r\nX: ", "chunk extensions": b"1"}[kind])
    sent = 0
    while sent < 10_000 and client.send(pieces[kind]):
        sent += 1
    assert sent < 10_000


@pytest.mark.parametrize("upgrade", [b"", b"Connection: upgrade\r\nUpgrade: h2c\r\n"])
def test_a_trailer_is_no_header(upgrade: bytes) -> None:
    """A trailer cannot set a header behind the back of a proxy, which checks headers."""
    connection = connected()
    connection.data_received(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n" + upgrade + b"\r\n0\r\n"
    )
    headers = connection.scope["headers"]
    before = list(headers)
    connection.data_received(b"X-Api-Key: b\r\n\r\n")
    assert headers == before and (b"host", b"a") in before


H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAAB")


@pytest.mark.parametrize("size", [1, 7, 10_000], ids=["bytes", "pieces", "whole"])
@pytest.mark.parametrize("chunked", [False, True])
def test_the_body_of_a_request_that_offers_http2_is_read(chunked: bool, size: int) -> None:
    """Java's HttpClient offers it with each request. The answer is HTTP/1.1, and the connection goes on."""
    body = b"4\r\n[1, \r\n2\r\n2]\r\n0\r\n\r\n" if chunked else b"[1, 2]"
    length = "Transfer-Encoding: chunked" if chunked else "Content-Length: 6"
    sent = request("/predict?a=b", length, *H2C, "X-After: 1", method="POST") + body
    connection = connected()
    for _ in range(2):
        for start in range(0, len(sent), size):
            connection.data_received(sent[start : start + size])
        assert connection.cycle.body == b"[1, 2]" and not connection.cycle.more_body
        assert (b"x-after", b"1") in connection.scope["headers"] and connection.scope["method"] == "POST"
        assert (connection.scope["path"], connection.scope["query_string"]) == ("/predict", b"a=b")
        connection.cycle.response_complete = True


def test_requests_that_offer_http2_may_follow_each_other_at_once(client: Client) -> None:
    """Also a thousand in one piece. The limits hold for them as for others."""
    connection = connected()
    connection.data_received(request("/livez", *H2C) * 2000)
    assert len(connection.pipeline) == 1999
    client.send(request("/livez", *H2C))
    assert client.answer()[0] == 200
    client.send(request("/livez", *H2C, f"X: {'a' * 2 * HEAD_BYTES}"))
    answer = client.rest()
    assert answer.count(b"HTTP/1.1 431 ") == 1


def test_a_websocket_is_refused_at_once(client: Client) -> None:
    """By an answer that is one: nothing follows when the time for a head is over."""
    key = ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    client.send(request("/livez", "Connection: Upgrade", "Upgrade: websocket", *key))
    answer = client.rest()
    assert answer.startswith(b"HTTP/1.1 4") and answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("head", [request("x:80", method="CONNECT"), request("x:80", *H2C, method="CONNECT")])
def test_a_tunnel_is_refused(client: Client, head: bytes) -> None:
    """The service is no proxy."""
    client.send(head)
    assert client.rest().startswith(b"HTTP/1.1 4")


def test_python_reads_attributes_of_a_connection_fast() -> None:
    """Python is slower with an object of more than 30 attributes in its dict, and each request reads dozens."""
    connection = connected()
    connection.data_received(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n")
    assert len(vars(connection)) <= 30


def test_other_requests_are_answered_meanwhile(port: int) -> None:
    """Two hundred connections with half a head take nothing from a caller, and are closed."""
    slow = [Client(port) for _ in range(200)]
    for one in slow:
        one.send(b"POST /predict HTTP/1.1\r\nContent-Le")
    caller = Client(port)
    caller.send(request())
    assert caller.answer()[0] == 200
    assert all(one.rest().startswith(b"HTTP/1.1 408 ") for one in slow)
