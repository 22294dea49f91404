"""The evidence of a decision: a file on the version's run, checked before the version moves."""

import hashlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_lib.errors import RegistryError
from mlops_lib.redact import mask
from mlops_lib.registry.decision import Decision
from mlops_lib.registry.history import MAX_REASON_CHARS
from mlops_lib.registry.versions import ModelVersion

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


def check(client: "MlflowClient", version: ModelVersion, decision: Decision, again: str) -> None:
    """Check that a decision has what its kind needs: the gate's passed verdict on file, or a person's reason.

    Args:
        again: The command that asks the gate again.

    Raises:
        RegistryError: It has not, or the file is not as it was written.
    """
    if decision.kind == "forced":
        if not decision.reason.strip():
            raise RegistryError("A forced promotion needs a reason. Give it with: --force --reason TEXT")
        if len(decision.reason) > MAX_REASON_CHARS:
            raise RegistryError(
                f"The reason has {len(decision.reason)} characters; the history has room for {MAX_REASON_CHARS}."
            )
        return

    def refuse(why: str) -> RegistryError:
        return RegistryError(
            f"{version.name!r} version {version.version} is not moved: {why}. Ask the gate again: {again}"
        )

    if not (decision.evidence and version.run_id):
        raise refuse("the decision names no evidence on the version's run")
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(client.download_artifacts(version.run_id, decision.evidence, folder))
            content = file.read_bytes()
    except Exception as error:  # object stores raise classes of their own
        raise refuse(
            f"its evidence {decision.evidence!r} on run {version.run_id} cannot be read ({mask(str(error))[:300]})"
        ) from None
    if hashlib.sha256(content).hexdigest() != decision.evidence_sha256:
        raise refuse(f"its evidence {decision.evidence!r} was altered since the gate wrote it")
    try:
        verdict = json.loads(content)
        passed, champion = verdict["passed"], (verdict.get("champion") or {}).get("version", 0)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise refuse(f"its evidence {decision.evidence!r} holds no verdict") from None
    if passed is not True:
        raise refuse(f"the verdict in {decision.evidence!r} did not pass")
    if champion not in (0, decision.champion):
        raise refuse(f"the verdict in {decision.evidence!r} compares with version {champion}")
