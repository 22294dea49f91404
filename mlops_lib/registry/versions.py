"""Model versions: listed, resolved to one pinned number, registered, tagged, deleted."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlops_lib.errors import NoSuchVersionError, RegistryError
from mlops_lib.redact import mask
from mlops_lib.registry.model_files import MODEL_DIGEST_TAG, digest_of_logged
from mlops_lib.settings import Settings
from mlops_lib.tracking import made_meanwhile, use_store
from mlops_lib.wording import listed

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion as MlflowModelVersion
    from mlflow.tracking import MlflowClient


@dataclass(frozen=True)
class ModelVersion:
    """One version of a registered model, pinned by its number."""

    name: str
    version: int
    stage: str
    run_id: str
    tags: Mapping[str, str] = field(default_factory=dict, compare=False)
    aliases: tuple[str, ...] = ()
    #: Registration time, milliseconds since 1970. Numbers start again when a model is deleted and made anew.
    created_ms: int = 0
    #: Time of the last change of stage or description, milliseconds since 1970.
    updated_ms: int = field(default=0, compare=False)

    @property
    def uri(self) -> str:
        """Address that always loads this version."""
        return f"models:/{self.name}/{self.version}"


class Versions:
    """The versions in the registry of the configured tracking server."""

    def __init__(self, settings: Settings) -> None:
        import mlflow

        uri = use_store(settings)
        self._command = settings.command
        self._client: MlflowClient = mlflow.MlflowClient(uri, uri)
        #: The registry's address for messages, without a password.
        self.uri = mask(uri)

    def names(self) -> list[str]:
        """Names of all registered models, sorted."""
        with self._explained("list models"):
            return sorted(model.name for model in self._client.search_registered_models())

    def versions(self, name: str) -> list[ModelVersion]:
        """All versions of `name`, newest first; empty if there is no such model."""
        with self._explained(f"list versions of {name!r}"):
            found = self._client.search_model_versions(f"name = '{_quotable(name)}'")
            known = self._client.search_registered_models(f"name = '{_quotable(name)}'") if found else []
        aliases: dict[int, list[str]] = {}
        for model in known:
            for alias, version in model.aliases.items():
                aliases.setdefault(int(version), []).append(alias)
        versions = [_pinned(item, tuple(sorted(aliases.get(int(item.version), ())))) for item in found]
        return sorted(versions, key=lambda item: -item.version)

    def resolve(self, name: str, stage: str = "", alias: str = "", version: int = 0) -> ModelVersion:
        """The version with this number, else with this alias, else at this stage.

        Raises:
            NoSuchVersionError: There is none.
        """
        versions = self.versions(name)
        if version:
            wanted, found = f"version {version}", [v for v in versions if v.version == version]
        elif alias:
            wanted, found = f"alias {alias!r}", [v for v in versions if alias in v.aliases]
        else:
            wanted, found = f"stage {stage!r}", [v for v in versions if v.stage.lower() == stage.lower()]
        if found:
            return found[0]
        raise NoSuchVersionError(
            f"No model {name!r} at {wanted} in the registry at {self.uri}. {self._available(name, versions, stage)}"
        )

    def at_stage(self, name: str, stage: str) -> ModelVersion | None:
        """The version of `name` at a stage; None if there is none."""
        return next((v for v in self.versions(name) if v.stage.lower() == stage.lower()), None)

    def of_run(self, name: str, run_id: str) -> ModelVersion | None:
        """The newest version of `name` whose model this run logged; None if there is none."""
        return next((version for version in self.versions(name) if version.run_id == run_id), None)

    def run(self, run_id: str) -> "Run":
        """The MLflow run that logged a model."""
        with self._explained(f"find run {run_id!r}"):
            return self._client.get_run(run_id)

    def register(self, name: str, run_id: str, tags: Mapping[str, str]) -> ModelVersion:
        """Register the model of a run as a new version of `name`.

        Args:
            name: Name in the registry; a new name is created.
            run_id: Run that logged the model.
            tags: Tags of the version, beside the digest of its files.

        Raises:
            RegistryError: The run logged no model, its files cannot be read, or the registry refuses.
        """
        run = self.run(run_id)
        if not run.outputs or not run.outputs.model_outputs:
            raise RegistryError(f"Run {run_id} logged no model, so there is nothing to register.")
        model_id = run.outputs.model_outputs[-1].model_id
        # Training writes it. A model that was logged without the platform is downloaded here.
        digest = run.data.tags.get(MODEL_DIGEST_TAG) or digest_of_logged(model_id)
        with self._explained(f"register the model of run {run_id} as {name!r}"):
            if not self._client.search_registered_models(f"name = '{_quotable(name)}'"):
                with made_meanwhile():
                    self._client.create_registered_model(name)
            made = self._client.create_model_version(
                name,
                f"models:/{model_id}",
                run_id,
                tags={**tags, MODEL_DIGEST_TAG: digest},
                model_id=model_id,
            )
        return _pinned(made, ())

    def describe(self, version: ModelVersion, tags: Mapping[str, str]) -> None:
        """Set the tags of a version that are missing or have another value."""
        with self._explained(f"write tags on {version.name!r} version {version.version}"):
            for key, value in dict(tags.items() - version.tags.items()).items():
                self._client.set_model_version_tag(version.name, str(version.version), key, value)

    def delete(self, version: ModelVersion) -> None:
        """Delete a version from the registry; its run and its files stay."""
        with self._explained(f"delete {version.name!r} version {version.version}"):
            self._client.delete_model_version(version.name, str(version.version))

    @contextmanager
    def _explained(self, action: str) -> Iterator[None]:
        """Turn an error of MLflow into a RegistryError that names the action."""
        from mlflow.exceptions import MlflowException

        try:
            yield
        except MlflowException as error:
            raise RegistryError(
                f"The registry at {self.uri} could not {action}: {mask(error.message)}"
            ) from None

    def _available(self, name: str, versions: list[ModelVersion], stage: str) -> str:
        if not versions:
            names = ", ".join(self.names()) or "none"
            return f"Models it has: {names}. `{self._command('run')}` trains one, and registers it when the gate passes."
        stages = listed((f"{v.stage} ({v.version})" for v in versions), 5)
        found = f"Versions it has: {stages}."
        if not stage or stage.lower() == "production":
            return f"{found} Promote one with: {self._command('promote', name, versions[0].version)}"
        holder = next((v for v in versions if v.stage == "Production"), None)
        if holder:
            found += (
                f" To serve version {holder.version}, which is at Production: serving.stage: Production, or the "
                "environment variable MLFLOW_MODEL_STAGE=Production."
            )
        others = [v for v in versions if v != holder]
        if others:
            move = self._command("promote", name, others[0].version, "--stage", stage.title())
            found += f" Move one to {stage.title()} with: {move}"
        return found


def _pinned(item: "MlflowModelVersion", aliases: tuple[str, ...]) -> ModelVersion:
    return ModelVersion(
        item.name,
        int(item.version),
        item.current_stage or "None",
        item.run_id or "",
        dict(item.tags),
        aliases,
        int(item.creation_timestamp or 0),
        int(item.last_updated_timestamp or 0),
    )


def _quotable(name: str) -> str:
    """Check that a name can stand in MLflow's filter language, which cannot escape quotes."""
    if "'" in name or '"' in name:
        raise RegistryError(f"Model name {name!r} has a quote in it; use letters, digits, '-' and '_'.")
    return name
