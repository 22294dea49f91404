"""Stores the lineage of a training with its run, when the run opens."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlops_lib import files
from mlops_lib.lineage.manifest import MANIFEST, manifest_of
from mlops_lib.settings import Settings
from mlops_lib.tracking.runs import ARGUMENTS_TAG

#: Folder of the artifacts.
FOLDER = "lineage"
#: On a run and on the versions of its model: SHA-256 of the manifest,
#: which has the digests of the files beside it.
LINEAGE_TAG = "mlops.lineage_sha256"


def capture(settings: Settings, run_id: str, parent_run_id: str, data: Mapping[str, Any]) -> None:
    """Log the manifest, and the files that it names, to the run of a training.

    Args:
        settings: Settings of the training.
        run_id: Its run.
        parent_run_id: Run of the pipeline, which has the arguments; empty: there is none.
        data: Fingerprint and origin of the data.
    """
    import mlflow

    client = mlflow.MlflowClient()
    arguments = client.get_run(parent_run_id).data.tags.get(ARGUMENTS_TAG, "{}") if parent_run_id else "{}"
    manifest, contents = manifest_of(settings, dict(data), json.loads(arguments))
    text = json.dumps(manifest, indent=2, ensure_ascii=False).encode()
    with tempfile.TemporaryDirectory() as folder:
        for name, content in {**contents, MANIFEST: text}.items():
            (Path(folder) / name).write_bytes(content)
        client.log_artifacts(run_id, folder, FOLDER)
    client.set_tag(run_id, LINEAGE_TAG, files.sha256_of(text))
    for line in missing(manifest):
        print(line)


def missing(manifest: Mapping[str, Any]) -> list[str]:
    """Sentences about the code that the run does not hold as it was."""
    code = manifest["code"]
    lines = [] if manifest["archive_sha256"] or code["from"] == "git" else [code["unknown"]]
    lines += [f"Not stored with the run: {one['path']} ({one['reason']})." for one in code["left_out"]]
    if code["left_out_more"]:
        lines.append(f"Not stored with the run: {code['left_out_more']} more changed files.")
    lines += [f"Stored with *** for its secrets: {path}." for path in code["masked"]]
    return lines
