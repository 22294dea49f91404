"""Loads a version: its facts, its schema, and its model, in this process or in one of its own."""

import asyncio
import sys
from pathlib import Path

from mlops_lib.errors import MlopsError, ModelError
from mlops_lib.registry import MODEL_DIGEST_TAG, ModelVersion, signing
from mlops_lib.settings import Settings
from serving.blocking_calls import in_daemon_thread
from serving.features.enrichment import Enricher
from serving.inference.fields import named_columns
from serving.inference.schema import RequestSchema
from serving.models.facts import ModelFacts
from serving.models.inline import InlineModel
from serving.models.model import Model
from serving.models.served import Loaded
from serving.operations.metrics import Metrics
from serving.processes.model import ProcessModel


async def load(
    version: ModelVersion, folder: Path, settings: Settings, metrics: Metrics, digest: str = ""
) -> Loaded:
    """Load a version from its files, and check that it answers its example.

    Cancel it, and a process that was started for it ends.

    Args:
        digest: Of the files, if they have just been hashed.

    Raises:
        ModelError: It cannot be loaded, does not answer the example that was logged with it,
            or takes longer than ``serving.load_timeout_s``.
    """
    name, limit_s = f"{version.name} version {version.version}", settings.serving.load_timeout_s
    try:
        async with asyncio.timeout(limit_s) as clock:
            return await _load(version, folder, settings, metrics, digest)
    except TimeoutError as error:
        reason = f"its load took longer than {limit_s:g} s (serving.load_timeout_s)"
        raise ModelError(f"{name} cannot be loaded: {reason if clock.expired() else error!r}.") from error
    except MlopsError:
        raise
    except Exception as error:  # a model's code may raise anything
        raise ModelError(f"{name} cannot be loaded: {type(error).__name__}: {error}") from error


async def _load(
    version: ModelVersion, folder: Path, settings: Settings, metrics: Metrics, digest: str
) -> Loaded:
    name = f"{version.name} version {version.version}"
    if signed_by := settings.serving.signed_by:
        remedy, key = settings.command("sign", version.name, version.version), settings.path(signed_by)
        await in_daemon_thread(lambda: signing.check(version, folder, key, remedy), "load")
    facts = await in_daemon_thread(lambda: ModelFacts.read(folder, digest), "load")
    if (registered := version.tags.get(MODEL_DIGEST_TAG, facts.digest)) != facts.digest:
        raise ModelError(
            f"{name} cannot be loaded: its files have changed since they were logged. Their digest is {facts.digest[:12]}, "
            f"and its tag {MODEL_DIGEST_TAG} is {registered[:12]}. Register the model again from a run that you trust."
        )
    columns = tuple(named_columns(facts.signature))
    enricher = await in_daemon_thread(lambda: Enricher.for_version(version, columns, settings), "load")
    schema = request_schema(facts, enricher, settings)
    mode = settings.serving.isolation
    model: Model
    if mode == "process" or (mode == "auto" and facts.holds_code and sys.platform == "linux"):
        model = await ProcessModel.open(version, folder, facts.kinds, settings, metrics)
    else:
        model = await in_daemon_thread(lambda: InlineModel.open(folder, schema, settings, name), "load")
    return Loaded(version, facts, schema, enricher, model, folder)


def request_schema(facts: ModelFacts, enricher: Enricher | None, settings: Settings) -> RequestSchema:
    """The schema of a model's requests: rows of the source, or rows with an entity key alone."""
    source = facts.columns
    strict = settings.serving.extra_columns == "refuse"
    if enricher:
        service = enricher.service
        return RequestSchema(
            facts.signature,
            enricher.features,
            service.key_dtypes,
            source,
            strict,
            service.request_dtypes,
            facts.inputs,
        )
    # Without a feature store the key still decides which requests are the canary's.
    key = settings.data.key or (source.key if source else "")
    return RequestSchema(
        facts.signature, (), {key: ""} if key else {}, source, strict, network_inputs=facts.inputs
    )
