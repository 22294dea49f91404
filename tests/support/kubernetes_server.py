"""A local server that speaks as much of the Kubernetes API as a TrainJob needs, and that runs the job.

Paths and field names are those of Kubernetes' own API. Where Kubeflow Trainer would make pods, it starts the
job's command on this machine with the variables that Trainer's torch runtime sets, one process group a node.
"""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import yaml

from mlops_lib.training import worker
from tests.support.servers import free_port

JOBS = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/ml/trainjobs"
PODS = "/api/v1/namespaces/ml/pods"


class KubernetesServer(ThreadingHTTPServer):
    """Start it with `with`; `kubeconfig` names a file that leads to it.

    Args:
        folder: For the kubeconfig and what the nodes write.
        refuses: HTTP status of every answer to a new job; 0: it is taken.
        waits: Nodes never start, and say this.
        fails: The second node ends with these last words, and the first does for want of it.
    """

    def __init__(self, folder: Path, refuses: int = 0, waits: str = "", fails: str = "") -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.refuses, self.waits, self.fails = folder, refuses, waits, fails
        self.jobs: list[dict[str, Any]] = []
        self.deleted: list[str] = []
        self.nodes: list[subprocess.Popen[bytes]] = []
        self.looked = threading.Event()
        content = {
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{self.server_port}"}}],
            "users": [{"name": "me", "user": {"token": "t0p-secret"}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me", "namespace": "ml"}}],
        }  # fmt: skip
        self.kubeconfig = folder / "kubeconfig.yaml"
        self.kubeconfig.write_text(yaml.safe_dump(content))

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.shutdown()
        self.server_close()

    def start(self, job: dict[str, Any]) -> None:
        """Do what Trainer and the kubelets would do."""
        self.jobs.append(job)
        if self.waits:
            return
        trainer = job["spec"]["trainer"]
        port = free_port()
        for node in range(trainer["numNodes"]):
            environment = {entry["name"]: entry["value"] for entry in trainer["env"] if "value" in entry} | {
                "PET_NNODES": str(trainer["numNodes"]),
                "PET_NPROC_PER_NODE": str(trainer["numProcPerNode"]),
                "PET_NODE_RANK": str(node),
                "PET_MASTER_ADDR": "127.0.0.1",
                "PET_MASTER_PORT": str(port),
                worker.ERROR_FILE_ENV: str(self.words(node)),
            }
            inherited = {
                k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "MLOPS_", "KUBE"))
            }
            command = [sys.executable, *trainer["command"][1:]]
            if self.fails:
                command = [sys.executable, "-c", "raise SystemExit(1)"]
                self.words(node).write_text(self.fails if node else "")
            with (self.folder / f"node-{node}.log").open("wb") as log:
                self.nodes.append(
                    subprocess.Popen(command, env={**inherited, **environment}, stdout=log, stderr=log)
                )
        if self.fails:
            for process in self.nodes:  # a job is seen as failed when the pods of all its nodes have ended
                process.wait()

    def words(self, node: int) -> Path:
        return self.folder / f"node-{node}.words"

    def stop(self) -> None:
        for process in self.nodes:
            process.terminate()
            process.wait()

    def job(self) -> dict[str, Any]:
        self.looked.set()
        states = [process.poll() for process in self.nodes]
        conditions = []
        if any(states):
            conditions = [
                {
                    "type": "Failed",
                    "status": "True",
                    "message": "jobset failed due to one or more job failures",
                }
            ]
        elif states and all(state == 0 for state in states):
            conditions = [{"type": "Complete", "status": "True"}]
        return {**self.jobs[-1], "status": {"conditions": conditions}}

    def pods(self) -> list[dict[str, Any]]:
        count = self.jobs[-1]["spec"]["trainer"]["numNodes"]
        return [self._pod(node) for node in range(count)]

    def _pod(self, node: int) -> dict[str, Any]:
        state: dict[str, Any] = {"waiting": {"reason": "ImagePullBackOff", "message": self.waits}}
        code = None if self.waits else self.nodes[node].poll()
        if code is not None:
            words = self.words(node).read_text() if self.words(node).exists() else ""
            state = {
                "terminated": {"exitCode": code, "reason": "Error" if code else "Completed", "message": words}
            }
        elif not self.waits:
            state = {"running": {}}
        phase = "Pending" if self.waits else "Running" if code is None else "Failed" if code else "Succeeded"
        status = {
            "name": "node",
            "image": "",
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": state,
        }
        labels = {"batch.kubernetes.io/job-completion-index": str(node)}
        name = f"{self.jobs[-1]['metadata']['name']}-node-0-{node}"
        return {
            "metadata": {"name": name, "labels": labels},
            "status": {"phase": phase, "containerStatuses": [status]},
        }


class Handler(BaseHTTPRequestHandler):
    server: KubernetesServer

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path.startswith(f"{JOBS}/"):
            return self._answer(self.server.job())
        if parts.path == PODS:
            name = self.server.jobs[-1]["metadata"]["name"]
            assert parse_qs(parts.query)["labelSelector"] == [f"jobset.sigs.k8s.io/jobset-name={name}"]
            return self._answer({"kind": "PodList", "apiVersion": "v1", "items": self.server.pods()})
        if parts.path.endswith("/log"):
            node = parts.path.split("/")[-2].rpartition("-")[2]
            return self._send((self.server.folder / f"node-{node}.log").read_bytes(), "text/plain")
        return self._answer({"kind": "Status", "message": f"no {self.path}"}, 404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == JOBS and self.headers["authorization"] == "Bearer t0p-secret", self.path
        if self.server.refuses:
            return self._answer({"kind": "Status", "message": "not for you"}, self.server.refuses)
        self.server.start(body)
        return self._answer(body, 201)

    def do_DELETE(self) -> None:
        self.server.deleted.append(self.path.rpartition("/")[2].partition("?")[0])
        self.server.stop()
        return self._answer({"kind": "Status", "status": "Success"})

    def _answer(self, content: dict[str, Any], status: int = 200) -> None:
        self._send(json.dumps(content).encode(), "application/json", status)

    def _send(self, body: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """The test's report is no access log."""
