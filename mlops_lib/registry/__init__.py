"""MLflow Model Registry: register, promote, roll back, and resolve a name and stage to one pinned version.

A stage is kept twice, as MLflow's stage and as an alias of the same name in lower case: stages are
deprecated in MLflow, aliases are what will stay. Resolution gives a version number and everything after
that uses the number, so that a moved stage never changes a model under a caller's feet.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlops_lib.errors import NoSuchVersionError, RegistryError
from mlops_lib.redact import masked
from mlops_lib.settings import Settings
from mlops_lib.tracking import made_meanwhile, use_store

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion as MlflowModelVersion
    from mlflow.tracking import MlflowClient

STAGES = ("Staging", "Production", "Archived")
#: Those that one version at a time holds, with an alias of the same name.
IN_USE = ("Staging", "Production")
#: On a version that took a stage, with the stage appended: the version that it took the stage from.
REPLACED_TAG = "mlops.replaced"
#: On a run: "passed" or "refused", written by evaluation.
GATE_TAG = "mlops.gate"
#: On a version: the gate's metric and the score it was registered with.
METRIC_TAG, SCORE_TAG = "mlops.metric", "mlops.score"


@dataclass(frozen=True)
class ModelVersion:
    """One version of a registered model, pinned."""

    name: str
    version: int
    stage: str
    run_id: str
    tags: Mapping[str, str] = field(default_factory=dict, compare=False)
    aliases: tuple[str, ...] = ()
    #: When it was registered, in milliseconds since 1970: a deleted model's numbers start again at 1.
    created_ms: int = 0

    @property
    def uri(self) -> str:
        """Address that loads exactly this version."""
        return f"models:/{self.name}/{self.version}"


class Registry:
    """The registry at the configured tracking server."""

    def __init__(self, settings: Settings) -> None:
        import mlflow

        uri = use_store(settings)
        self._client: MlflowClient = mlflow.MlflowClient(uri, uri)
        #: For people: without the password that it may hold.
        self.uri = masked(uri)

    def names(self) -> list[str]:
        """Names of all registered models, sorted."""
        with self._answers("list models"):
            return sorted(model.name for model in self._client.search_registered_models())

    def versions(self, name: str) -> list[ModelVersion]:
        """All versions of `name`, newest first; empty when there is no such model."""
        with self._answers(f"list versions of {name!r}"):
            found = self._client.search_model_versions(f"name = '{_quotable(name)}'")
            known = self._client.search_registered_models(f"name = '{_quotable(name)}'") if found else []
        aliases: dict[int, list[str]] = {}
        for model in known:
            for alias, version in model.aliases.items():
                aliases.setdefault(int(version), []).append(alias)
        versions = [_pinned(item, tuple(sorted(aliases.get(int(item.version), ())))) for item in found]
        return sorted(versions, key=lambda item: -item.version)

    def resolve(self, name: str, stage: str = "", alias: str = "", version: int = 0) -> ModelVersion:
        """The one version that `version`, else `alias`, else `stage` stands for.

        Raises:
            NoSuchVersionError: There is none; says which stages and aliases there are and how to promote.
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
            f"No model {name!r} at {wanted} in the registry at {self.uri}. {self._what_there_is(name, versions)}"
        )

    def register(self, name: str, run_id: str, tags: Mapping[str, str]) -> ModelVersion:
        """Register the model of a run as a new version of `name`.

        Args:
            name: Name in the registry; made when it is new.
            run_id: Run that logged the model.
            tags: Written on the version: what serving needs to know about it.

        Raises:
            RegistryError: The run logged no model, or the registry refuses.
        """
        logged = self.run(run_id).outputs
        if not logged or not logged.model_outputs:
            raise RegistryError(f"Run {run_id} logged no model, so there is nothing to register.")
        model_id = logged.model_outputs[-1].model_id
        with self._answers(f"register the model of run {run_id} as {name!r}"):
            if not self._client.search_registered_models(f"name = '{_quotable(name)}'"):
                with made_meanwhile():
                    self._client.create_registered_model(name)
            made = self._client.create_model_version(
                name, f"models:/{model_id}", run_id, tags=dict(tags), model_id=model_id
            )
        return _pinned(made, ())

    def run(self, run_id: str) -> "Run":
        """The MLflow run that a model came from."""
        with self._answers(f"find run {run_id!r}"):
            return self._client.get_run(run_id)

    def delete(self, version: ModelVersion) -> None:
        """Take a version out of the registry; its run and its files stay."""
        with self._answers(f"delete {version.name!r} version {version.version}"):
            self._client.delete_model_version(version.name, str(version.version))

    def of_run(self, name: str, run_id: str) -> ModelVersion | None:
        """The newest version of `name` that is the model of this run; None when there is none."""
        return next((version for version in self.versions(name) if version.run_id == run_id), None)

    def describe(self, version: ModelVersion, tags: Mapping[str, str]) -> None:
        """Write on a version those of `tags` that it does not have, or has with another value."""
        with self._answers(f"write tags on {version.name!r} version {version.version}"):
            for key, value in dict(tags.items() - version.tags.items()).items():
                self._client.set_model_version_tag(version.name, str(version.version), key, value)

    def promote(self, name: str, version: int, stage: str) -> ModelVersion:
        """Move `version` to `stage` (stage and alias); the version that was there is archived.

        When that fails half-way, both versions get back the stage that they had, as far as the registry answers.
        """
        if stage.title() not in STAGES:
            raise RegistryError(f"Unknown stage {stage!r}. Stages: {', '.join(STAGES)}.")
        stage = stage.title()
        found = self.resolve(name, version=version)
        before = [v for v in self.versions(name) if v.stage == stage and v.version != version]
        if before:
            with self._answers(f"note what {name!r} version {version} replaces"):
                self._client.set_model_version_tag(
                    name, str(version), _replaced_tag(stage), str(before[0].version)
                )
        try:
            return self._place(name, version, stage)
        except BaseException:
            for moved in (found, *before):
                with suppress(Exception):  # the first error says what happened
                    self._place(name, moved.version, moved.stage)
            raise

    def _place(self, name: str, version: int, stage: str) -> ModelVersion:
        with self._answers(f"move {name!r} version {version} to {stage}"):
            _move(self._client, name, version, stage)
            if stage in IN_USE:
                self._client.set_registered_model_alias(name, stage.lower(), str(version))
            for alias in self.resolve(name, version=version).aliases:
                if alias.title() in STAGES and alias != stage.lower():
                    self._client.delete_registered_model_alias(name, alias)
        return self.resolve(name, version=version)

    def roll_back(self, name: str, stage: str) -> ModelVersion:
        """Give `stage` back to the version that held it before; again, to the one before that, never forward.

        Raises:
            RegistryError: Nothing is at the stage, or what is there replaced nothing.
        """
        current = self.resolve(name, stage=stage)
        if not (before := self.replaced(current)):
            raise RegistryError(
                f"{name!r} version {current.version} replaced no version at {current.stage}, so there is none to go "
                f"back to. See what there is with: mlops models {name}"
            )
        placed = self._place(name, before, current.stage)
        with self._answers(f"forget what {name!r} version {current.version} replaced"):
            self._client.delete_model_version_tag(name, str(current.version), _replaced_tag(current.stage))
        return placed

    @staticmethod
    def replaced(current: ModelVersion) -> int:
        """The version that `current` took its stage from; 0 for none."""
        return int(current.tags.get(_replaced_tag(current.stage), 0))

    @contextmanager
    def _answers(self, doing: str) -> Iterator[None]:
        from mlflow.exceptions import MlflowException

        try:
            yield
        except MlflowException as error:
            raise RegistryError(
                f"The registry at {self.uri} could not {doing}: {masked(error.message)}"
            ) from None

    def _what_there_is(self, name: str, versions: list[ModelVersion]) -> str:
        if not versions:
            names = ", ".join(self.names()) or "none"
            return f"Models it has: {names}. `mlops run` trains one, and registers it when the gate passes."
        stages = ", ".join(f"{v.stage} ({v.version})" for v in versions[:5])
        return f"Versions it has: {stages}. Promote one with: mlops promote {name} {versions[0].version}"


def register_run(settings: Settings, run_id: str, name: str = "") -> ModelVersion:
    """Register the model of a run that passed the gate, and move it to Staging.

    A run has one version of a name: what an earlier try left unfinished is finished, and a version that was
    promoted to Production since stays there. So a step may be tried again.

    Args:
        settings: The `model` and `evaluation` sections are read.
        run_id: Run of the model.
        name: Name in the registry; empty: ``model.name``.

    Raises:
        RegistryError: The run was not evaluated, the gate refused it, or the registry cannot be reached.
            A version made here is taken back then; where the registry is away, the next try finishes it.
    """
    registry = Registry(settings)
    run = registry.run(run_id)
    if (verdict := run.data.tags.get(GATE_TAG)) != "passed":
        raise RegistryError(
            f"Run {run_id} has not passed the gate (verdict: {verdict or 'none, it was not evaluated'}), so its "
            "model is not registered. Evaluate it with 03_evaluate; what the gate asks for is in evaluation."
        )
    metric = settings.evaluation.metric
    tags = {key: value for key, value in run.data.tags.items() if key.startswith("mlops")}
    tags |= {METRIC_TAG: metric, SCORE_TAG: repr(run.data.metrics[f"test.{metric}"])}
    name = name or settings.model.name
    if before := registry.of_run(name, run_id):
        registry.describe(before, tags)
        if before.stage == "Production":
            return before
    version = before or registry.register(name, run_id, tags)
    try:
        return registry.promote(name, version.version, "Staging")
    except BaseException:
        if not before:
            with suppress(Exception):  # the first error says what happened
                registry.delete(version)
        raise


def scores(settings: Settings, like: ModelVersion) -> dict[int, float]:
    """Version -> score at registration, of all versions of the model that were judged by the same metric."""
    metric = settings.evaluation.metric
    return {
        version.version: float(version.tags[SCORE_TAG])
        for version in Registry(settings).versions(like.name)
        if version.tags.get(METRIC_TAG) == metric
    }


def _replaced_tag(stage: str) -> str:
    return f"{REPLACED_TAG}.{stage.lower()}"


def _move(client: "MlflowClient", name: str, version: int, stage: str) -> None:
    import warnings

    with warnings.catch_warnings():
        # MLflow warns that stages will go; they are moved together with an alias for just that reason.
        warnings.simplefilter("ignore", FutureWarning)
        client.transition_model_version_stage(
            name, str(version), stage, archive_existing_versions=stage in IN_USE
        )


def _pinned(item: "MlflowModelVersion", aliases: tuple[str, ...]) -> ModelVersion:
    return ModelVersion(
        item.name,
        int(item.version),
        item.current_stage or "None",
        item.run_id or "",
        dict(item.tags),
        aliases,
        int(item.creation_timestamp or 0),
    )


def _quotable(name: str) -> str:
    """MLflow's filter language has no escape for quotes, so a name with one cannot be asked for."""
    if "'" in name or '"' in name:
        raise RegistryError(f"Model name {name!r} has a quote in it; use letters, digits, '-' and '_'.")
    return name
