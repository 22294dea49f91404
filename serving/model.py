"""The served model: resolved once to a pinned version, loaded, warmed, and then ready."""

import asyncio
import logging
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import Any

from mlops_lib.config import Settings
from mlops_lib.errors import MlopsError
from mlops_lib.registry import ModelVersion, Registry
from mlops_lib.wrappers import load
from mlops_lib.wrappers.base import ModelWrapper
from serving.enrich import Enricher
from serving.problems import Problem
from serving.schema import RequestSchema, columns

log = logging.getLogger("serving")


@dataclass(frozen=True)
class ServedModel:
    """A loaded version and what its callers must send."""

    version: ModelVersion
    wrapper: ModelWrapper
    schema: RequestSchema
    enricher: Enricher | None = None

    @cached_property
    def card(self) -> dict[str, Any]:
        """What every answer says about its model."""
        v = self.version
        return {"name": v.name, "version": v.version, "stage": v.stage, "run_id": v.run_id}


class ModelHolder:
    """Holds the served model, or the reason why there is none yet; keeps trying until there is."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._served: ServedModel | None = None
        self._problem = "The model is still being loaded."
        self._loading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to load; the service is live meanwhile, and ready when the model is."""
        self._loading = asyncio.create_task(self._load_until_there())

    async def stop(self) -> None:
        """Stop trying."""
        if self._loading:
            self._loading.cancel()

    def current(self) -> ServedModel:
        """The model to answer with.

        Raises:
            Problem: 503, with the reason why there is none.
        """
        if self._served is None:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "model_not_ready", self._problem)
        return self._served

    async def _load_until_there(self) -> None:
        while self._served is None:
            try:
                self._served = await asyncio.to_thread(load_model, self.settings)
            except Exception as error:  # a model's code may raise anything; the service must say so and live
                reason = str(error) if isinstance(error, MlopsError) else f"{type(error).__name__}: {error}"
                if reason != self._problem:
                    log.error("no model to serve: %s", reason, exc_info=not isinstance(error, MlopsError))
                self._problem = reason
                await asyncio.sleep(self.settings.serving.retry_s)
        log.info("ready: %s", self._served.card)


def load_model(settings: Settings) -> ServedModel:
    """Resolve name and stage (or alias) to one version, load it, and predict its example once.

    Raises:
        MlopsError: There is no such version, or it cannot be loaded.
    """
    wanted = settings.serving
    version = Registry(settings).resolve(settings.model.name, wanted.stage, wanted.alias)
    wrapper = load(version.uri, settings.model.wrapper)
    wrapper.attach(settings)
    wrapper.warm()
    names = columns(wrapper.signature)
    enricher = Enricher.for_version(version, names, settings)
    looked_up, keys = (enricher.features, enricher.service.key_dtypes) if enricher else ((), {})
    return ServedModel(version, wrapper, RequestSchema(wrapper.signature, looked_up, keys), enricher)
