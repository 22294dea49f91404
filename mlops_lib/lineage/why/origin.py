"""The origin of a training: data, code, configuration and environment, as its manifest names them."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_lib import loaders
from mlops_lib.files import sha256
from mlops_lib.lineage import git
from mlops_lib.lineage.capture import FOLDER, LINEAGE_TAG
from mlops_lib.lineage.manifest import ARCHIVE, CONFIG, DIFF, LOCK, MANIFEST
from mlops_lib.lineage.why import stored
from mlops_lib.lineage.why.link import Link, short
from mlops_lib.redact import mask
from mlops_lib.registry import ModelVersion
from mlops_lib.settings import DataSettings, Settings
from mlops_lib.training.lifecycle import FINGERPRINT_TAG

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient


def manifest_link(
    client: "MlflowClient", settings: Settings, run: "Run", version: ModelVersion | None, data: bool
) -> Link:
    """The manifest of a training run, and behind it all that it names.

    Args:
        settings: Of the project: its repository is asked for the commit, its source for the data.
        data: Hash the source of the data too.
    """
    link = Link("manifest", "manifest")
    stated = {f"The run's tag {LINEAGE_TAG}": run.data.tags.get(LINEAGE_TAG, "")}
    if version:
        stated["The version's tag"] = version.tags.get(LINEAGE_TAG, "")
    content = stored.check(client, run.info.run_id, f"{FOLDER}/{MANIFEST}", stated, link)
    try:
        manifest: dict[str, Any] = json.loads(content or b"")
    except ValueError:
        link.blame("missing", "So data, code and environment of the training are unknown.")
        return link
    link.facts |= {
        name: manifest.get(name)
        for name in ("library", "seed", "arguments")
        if manifest.get(name) is not None
    }
    link.links = [
        _data_link(settings, manifest.get("data", {}), run, data),
        _code_link(client, settings, manifest, run),
        _file_link(client, run.info.run_id, "configuration", CONFIG, manifest.get("config_sha256", "")),
        _environment_link(client, run.info.run_id, manifest),
    ]
    return link


def _data_link(settings: Settings, data: Mapping[str, Any], run: "Run", hash_source: bool) -> Link:
    fingerprint = data.get("fingerprint", "")
    link = Link("data", f"data {short(fingerprint)}")
    source = data.get("source") or {name: value for name, value in data.items() if name != "fingerprint"}
    link.facts = {"fingerprint": fingerprint, "loader": data.get("loader", ""), **source}
    tagged = run.data.tags.get(FINGERPRINT_TAG, "")
    if tagged != fingerprint:
        link.blame("altered", f"The run's tag {FINGERPRINT_TAG} has {short(tagged) or 'none'}.")
    expected = data.get("source_fingerprint", "")
    if not hash_source:
        link.blame("unchecked", "The source is hashed with --data.")
    elif not expected:
        link.blame(
            "missing", "The manifest has no fingerprint of the source: an older version prepared the data."
        )
    else:
        _check_source(settings, data, expected, link)
    return link


def _check_source(settings: Settings, data: Mapping[str, Any], expected: str, link: Link) -> None:
    """Hash the source again, read as it was read for the training."""
    try:
        then = dict(data["settings"])
        if "***" in str(then.get("source")):  # a masked password: the address of today has it
            then["source"] = settings.data.source
        read = DataSettings.model_validate_json(json.dumps(then))
        found = loaders.from_settings(settings.model_copy(update={"data": read})).fingerprint()
    except Exception as error:  # a loader of the user's own may raise anything
        link.blame("missing", f"The source cannot be read: {mask(str(error))[:300]}")
        return
    if found != expected:
        link.blame(
            "altered",
            f"The source has fingerprint {short(found)} now, and had {short(expected)} at the training.",
        )


def _code_link(client: "MlflowClient", settings: Settings, manifest: Mapping[str, Any], run: "Run") -> Link:
    run_id, tagged = run.info.run_id, run.data.tags.get("mlops.git_commit", "")
    code, commit = manifest.get("code", {}), manifest.get("commit", "")
    link = Link("code", "code")
    if code.get("unknown"):
        link.facts["note"] = code["unknown"]
    if tagged and tagged.partition("+")[0] != commit:
        link.blame(
            "altered",
            f"The run's tag mlops.git_commit has {short(tagged)}, and the manifest {short(commit) or 'none'}.",
        )
    top = settings.root
    if commit:
        one = Link("commit", f"commit {short(commit)}", facts={"commit": commit})
        if code.get("folder"):
            one.facts["folder"] = code["folder"]
        try:
            top = Path(os.fsdecode(git.run(settings.root, "rev-parse", "--show-toplevel")).strip())
            git.verify(settings.root, commit)
        except git.Damaged as error:
            one.blame("altered", f"In the repository of {settings.root}, {error}.")
        except git.NoGit as error:
            one.blame(
                "missing",
                f"It cannot be read from the repository of {settings.root} ({error}). Fetch it, or run this in a clone.",
            )
        link.links.append(one)
    for key, name, what in (
        ("diff_sha256", DIFF, "uncommitted changes"),
        ("archive_sha256", ARCHIVE, "archive of the code"),
    ):
        if digest := manifest.get(key):
            link.links.append(_file_link(client, run_id, what, name, digest))
    if not link.links:
        link.blame("missing", "The manifest names neither commit nor archive.")
    for left in code.get("left_out", []):
        link.links.append(_left_out(top, left))
    if more := code.get("left_out_more"):
        link.blame("missing", f"{more} more changed files were not stored.")
    if code.get("masked"):
        link.facts["stored with *** for secrets"] = sorted(code["masked"])
    return link


def _left_out(top: Path, left: Mapping[str, Any]) -> Link:
    """A changed file that was not stored with the run: perhaps it is still in the working tree."""
    link = Link("file", f"{left['path']}, not stored ({left['reason']})")
    file = top / left["path"]
    try:
        if not left.get("sha256"):
            link.blame("missing", "Its digest was not stored either.")
        elif sha256(file) != left["sha256"]:
            link.blame("missing", f"{file} is another one now.")
    except OSError:
        link.blame("missing", f"{file} is not there any more.")
    return link


def _environment_link(client: "MlflowClient", run_id: str, manifest: Mapping[str, Any]) -> Link:
    link = Link("environment", "environment")
    names = ("python", "platform", "accelerator", "environment")
    link.facts = {name: manifest[name] for name in names if manifest.get(name)}
    link.links = [_file_link(client, run_id, "lock", LOCK, manifest.get("lock_sha256", ""))]
    image = manifest.get("image") or {}
    if image.get("name"):
        digest = image.get("digest", "")
        one = Link("image", f"image {image['name']}", "unchecked", facts={"digest": digest} if digest else {})
        one.detail = "Its registry is not asked." if digest else "The manifest has no digest of it."
        link.links.append(one)
    return link


def _file_link(client: "MlflowClient", run_id: str, what: str, name: str, digest: str) -> Link:
    link = Link(what, f"{what} {FOLDER}/{name}")
    stored.check(client, run_id, f"{FOLDER}/{name}", {"The manifest": digest}, link)
    return link
