"""A local server that speaks as much of the Kubeflow Pipelines v2 API as its client needs to run a pipeline.

Paths and field names are those of the API's own description (v2beta1). It keeps what it is sent, and each
look at a run moves the run on by one task.
"""

import email.parser
import email.policy
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

TASKS = ("get-data", "train-model", "evaluate-model", "register-model")
API = "/apis/v2beta1"


class KfpServer(ThreadingHTTPServer):
    """Start it with `with`; `url` is where it listens.

    Args:
        fails: Name of the task that fails; "": none.
        token: Bearer token to ask for; "": none.
        tasks: Names of the run's tasks, in the order in which they end.
        misses: Looks at a run that are answered with 502 first.
    """

    def __init__(
        self, fails: str = "", token: str = "", tasks: tuple[str, ...] = TASKS, misses: int = 0
    ) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.fails, self.token, self.tasks, self.misses = fails, token, tasks, misses
        self.pipelines: dict[str, str] = {}
        self.versions: list[bytes] = []
        self.experiments: dict[str, str] = {}
        #: Namespaces that requests named.
        self.namespaces: set[str] = set()
        self.runs: list[dict[str, Any]] = []
        self.recurring: list[dict[str, Any]] = []
        self.looks = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def look(self) -> dict[str, Any]:
        """The run, one task further than at the last look."""
        self.looks += 1
        ended = self.tasks[: self.looks]
        details = [
            {
                "task_id": f"task-{number}",
                "display_name": name,
                "state": "FAILED" if name == self.fails else "SUCCEEDED",
            }
            for number, name in enumerate(ended)
        ]
        state = "SUCCEEDED" if len(ended) == len(self.tasks) else "RUNNING"
        if self.fails in ended:
            state = "FAILED"
        return {"run_id": "run-1", "state": state, "run_details": {"task_details": details}}


class Handler(BaseHTTPRequestHandler):
    server: KfpServer

    def do_GET(self) -> None:
        path, query = self._asked()
        if path == "/healthz":
            return self._answer({"multi_user": False})
        if path == "/pipelines":
            wanted = json.loads(query["filter"][0])["predicates"][0]["stringValue"]
            found = [
                {"pipeline_id": i, "display_name": n} for n, i in self.server.pipelines.items() if n == wanted
            ]
            return self._answer({"pipelines": found, "total_size": len(found)})
        if path == "/experiments":
            found = [{"experiment_id": i, "display_name": n} for n, i in self.server.experiments.items()]
            return self._answer({"experiments": found})
        if path.startswith("/runs/"):
            if self.server.misses:
                self.server.misses -= 1
                return self._answer({"message": "bad gateway"}, 502)
            return self._answer(self.server.look())
        return self._answer({"message": f"no {path}"}, 401 if path == "/forbidden" else 404)

    def do_POST(self) -> None:
        path, query = self._asked()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if path == "/pipelines/upload":
            self.server.namespaces.add(query.get("namespace", [""])[0])
            self.server.pipelines[query["name"][0]] = "pipeline-1"
            return self._answer({"pipeline_id": "pipeline-1", "display_name": query["name"][0]})
        if path == "/pipelines/upload_version":
            self.server.versions.append(self._file(body))
            version = f"version-{len(self.server.versions)}"
            return self._answer({"pipeline_id": query["pipelineid"][0], "pipeline_version_id": version})
        sent = json.loads(body)
        if path == "/experiments":
            self.server.namespaces.add(sent.get("namespace", ""))
            self.server.experiments[sent["display_name"]] = "experiment-1"
            return self._answer({"experiment_id": "experiment-1", **sent})
        if path == "/runs":
            self.server.runs.append(sent)
            return self._answer({"run_id": "run-1", "state": "PENDING", **sent})
        if path == "/recurringruns":
            self.server.recurring.append(sent)
            return self._answer({"recurring_run_id": "recurring-1", **sent})
        return self._answer({"message": f"no {path}"}, 401 if path == "/forbidden" else 404)

    def _asked(self) -> tuple[str, dict[str, list[str]]]:
        parts = urlsplit(self.path)
        wanted = f"Bearer {self.server.token}"
        assert parts.path.startswith(API), parts.path
        path = parts.path.removeprefix(API)
        # As many servers do: anyone may ask whether it is up.
        if path != "/healthz" and self.server.token and self.headers.get("authorization") != wanted:
            path = "/forbidden"
        return path, parse_qs(parts.query)

    def _file(self, body: bytes) -> bytes:
        """The one file of a multipart upload."""
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
        return next(message.iter_parts()).get_payload(decode=True)  # type: ignore[return-value]

    def _answer(self, content: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """The test's report is no access log."""
