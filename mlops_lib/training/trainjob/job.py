"""One TrainJob: submitted, waited for with its output on screen, deleted."""

import contextlib
from typing import Any

from mlops_lib.errors import TrainingError
from mlops_lib.polling import poll
from mlops_lib.redact import mask
from mlops_lib.settings import Settings
from mlops_lib.training.trainjob.cluster import connect, explained
from mlops_lib.training.trainjob.manifest import GROUP, NODE, VERSION

PLURAL = "trainjobs"
POLL_S = 5.0
#: Failed polls in a row before the wait ends: two minutes, enough for a restart of the API server.
MAX_POLL_FAILURES = 24
LAST_LINES = 10


class Job:
    """A TrainJob by name."""

    def __init__(self, config: Settings, name: str) -> None:
        client, self.namespace = connect(config)
        from kubernetes.client import CoreV1Api, CustomObjectsApi

        self.name = name
        self._jobs = CustomObjectsApi(client)
        self._core = CoreV1Api(client)
        self._at = (GROUP, VERSION, self.namespace, PLURAL)
        self._shown: set[str] = set()
        self._printed_chars = 0

    def submit(self, body: dict[str, Any]) -> None:
        """Create the job on the cluster."""
        with self._explained("create"):
            self._jobs.create_namespaced_custom_object(*self._at, body)

    def wait(self) -> str:
        """Wait for the end of the job, and print the output of worker 0 meanwhile.

        Returns:
            The reason of a failure; "" for success.

        Raises:
            TrainingError: The job could not be read `MAX_POLL_FAILURES` times in a row.
        """
        return poll(self._result, interval_s=POLL_S, max_failures=MAX_POLL_FAILURES, failure=TrainingError)

    def delete(self) -> None:
        """Delete the job and its pods. A failure is ignored: the training does not depend on it."""
        with contextlib.suppress(TrainingError), self._explained("delete"):
            self._jobs.delete_namespaced_custom_object(*self._at, self.name)

    def _result(self) -> str | None:
        """The reason of a failure, "" after success, None while the job runs."""
        with self._explained("read"):
            status = self._jobs.get_namespaced_custom_object(*self._at, self.name).get("status", {})
        pods: list[Any] = []
        # The training goes on even if its pods and logs cannot be read.
        with contextlib.suppress(TrainingError), self._explained("read"):
            pods = self._pods()
            self._show(pods)
        ended = {c["type"]: c for c in status.get("conditions", []) if c.get("status") == "True"}
        if "Complete" in ended:
            return ""
        if "Failed" not in ended:
            return None
        reason = ""
        with contextlib.suppress(TrainingError), self._explained("read"):
            reason = self._reason(pods)
        return reason or ended["Failed"].get("message") or "no reason was given"

    def _pods(self) -> list[Any]:
        # A TrainJob's JobSet has the name of the TrainJob.
        label = f"jobset.sigs.k8s.io/jobset-name={self.name}"
        return self._core.list_namespaced_pod(self.namespace, label_selector=label).items

    def _show(self, pods: list[Any]) -> None:
        """Print why a node does not start, once, and the new output of the first node."""
        for pod in pods:
            for container in pod.status.container_statuses or []:
                waits = container.state.waiting
                if waits and waits.reason != "ContainerCreating":
                    self._print_once(f"{pod.metadata.name} waits: {waits.reason} {waits.message or ''}")
            for condition in pod.status.conditions or []:
                if condition.type == "PodScheduled" and condition.status == "False":
                    self._print_once(
                        f"{pod.metadata.name} waits: {condition.reason} {condition.message or ''}"
                    )
        index = "batch.kubernetes.io/job-completion-index"
        first = next((pod for pod in pods if (pod.metadata.labels or {}).get(index) == "0"), None)
        if first and first.status.phase != "Pending":
            text = self._log(first)
            print(text[self._printed_chars :], end="", flush=True)
            self._printed_chars = max(len(text), self._printed_chars)

    def _print_once(self, line: str) -> None:
        if line not in self._shown:
            self._shown.add(line)
            print(mask(line), flush=True)

    def _reason(self, pods: list[Any]) -> str:
        """The termination message of the node that failed first, else the end of its log."""
        ends = [
            (container.state.terminated, pod)
            for pod in pods
            for container in pod.status.container_statuses or []
            if container.state.terminated and container.state.terminated.exit_code
        ]
        for end, pod in sorted(ends, key=lambda pair: str(pair[0].finished_at)):
            if message := (end.message or "").strip():
                return f"{pod.metadata.name}: {message}"
            if end.reason and end.reason != "Error":
                return f"{pod.metadata.name}: {end.reason}"
        for end, pod in ends[:1]:
            lines = self._log(pod).splitlines()[-LAST_LINES:]
            said = ":" if lines else ", without output."
            return "\n".join([f"{pod.metadata.name} ended with exit code {end.exit_code}{said}", *lines])
        return ""

    def _log(self, pod: Any) -> str:
        # The container is named because a service mesh adds containers of its own.
        return self._core.read_namespaced_pod_log(pod.metadata.name, self.namespace, container=NODE)

    def _explained(self, action: str) -> contextlib.AbstractContextManager[None]:
        return explained(action, f"{self.namespace}/{self.name}")
