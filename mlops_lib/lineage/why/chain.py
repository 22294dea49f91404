"""Builds the chain behind a prediction or a version, link by link, as far as the stores reach."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mlops_lib.errors import RegistryError
from mlops_lib.lineage.why import model, stored
from mlops_lib.lineage.why.decision import check_registration, decision_link, entry_of, other_score
from mlops_lib.lineage.why.link import Link, State, short
from mlops_lib.lineage.why.notebooks import notebooks_link
from mlops_lib.lineage.why.origin import manifest_link
from mlops_lib.lineage.why.prediction import Subject, logged, parsed
from mlops_lib.registry import ModelVersion, Registry
from mlops_lib.registry.history import Entry, History
from mlops_lib.settings import Settings

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient


def why(settings: Settings, target: str, version: int = 0, data: bool = False) -> list[Link]:
    """The chains behind a target; a request id that several callers used has several.

    Args:
        target: Request id, ``models:/...``, or with `version` the name of a model.
        version: Number of a version; 0: none.
        data: Hash the source of the data too, which reads all of it.

    Raises:
        MlopsError: The prediction log has no such request, or the registry no such version.
    """
    if subject := parsed(target, version):
        try:
            registry, client = stored.opened(settings)
        except stored.Away as away:
            raise RegistryError(str(away)) from None
        found = registry.resolve(subject.name, subject.stage, subject.alias, subject.version)
        pinned = replace(subject, version=found.version, run_id=found.run_id)
        return [_Chain(settings, registry, client, pinned, data).link()]
    chains = []
    for prediction, subject in logged(settings, target):
        try:
            registry, client = stored.opened(settings)
            prediction.links.append(_Chain(settings, registry, client, subject, data, prediction).link())
        except stored.Away as away:
            prediction.links.append(_end(subject, str(away)))
        except RegistryError as error:  # it went away meanwhile
            prediction.links.append(_end(subject, str(error)))
        chains.append(prediction)
    return chains


def _end(subject: Subject, reason: str) -> Link:
    return Link(
        "model",
        f"model {short(subject.digest) or 'of unknown digest'}",
        "missing",
        f"The chain ends here. {reason}",
    )


@dataclass
class _Chain:
    """The links from a model on."""

    settings: Settings
    registry: Registry
    client: "MlflowClient"
    subject: Subject
    data: bool
    prediction: Link | None = None

    def link(self) -> Link:
        """The model, with all that is behind it."""
        identified = model.identify(self.subject, self.registry.versions(self.subject.name))
        version = identified.version
        history = self.registry.history(self.subject.name) if version else History()
        entry = entry_of(history, version, self.subject.at) if version else None
        run_id = version.run_id if version else self.subject.run_id
        run = stored.run_of(self.client, run_id) if run_id else None
        tags = run.data.tags if run else {}
        stated = model.statements(self.subject, version, tags, entry.model_digest if entry else "")
        link, wrong = model.files_link(self._address(version, run), stated)
        if self.prediction:
            self._blame_prediction(version, identified.altered, wrong)
        of_run = self._run(run, run_id, version)
        _blame(of_run, "altered", wrong.get(model.RUN))
        link.links = [self._version(identified, history, entry, wrong, run), of_run]
        if run:
            _blame(of_run, "altered", other_score(run, link))
        return link

    def _address(self, version: ModelVersion | None, run: "Run | None") -> str:
        if version:
            return version.uri
        outputs = run.outputs.model_outputs if run and run.outputs else []
        return f"models:/{outputs[-1].model_id}" if outputs else ""

    def _blame_prediction(self, version: ModelVersion | None, altered: bool, wrong: dict[str, str]) -> None:
        assert self.prediction
        if altered:
            self.prediction.blame(
                "altered", "It names another model than the version that was registered by then."
            )
        _blame(self.prediction, "altered", wrong.get(model.LOG))
        if version and self.subject.run_id not in ("", version.run_id):
            sentence = f"It names run {self.subject.run_id}, and the version with its digest is of run {version.run_id}."
            self.prediction.blame("altered", sentence)

    def _version(
        self,
        identified: model.Identified,
        history: History,
        entry: Entry | None,
        wrong: dict[str, str],
        run: "Run | None",
    ) -> Link:
        version = identified.version
        if not version:
            state: State = "altered" if identified.altered else "missing"
            return Link(
                "version", f"{self.subject.name} version {self.subject.version}", state, identified.problem
            )
        link = model.version_link(version)
        _blame(link, "missing", identified.problem)
        _blame(link, "altered", wrong.get(model.VERSION))
        decision = decision_link(self.client, history, version, entry)
        _blame(decision, "altered", wrong.get(model.HISTORY))
        link.links.append(decision)
        check_registration(self.client, version, link)
        if run:
            for sentence in model.other_tags(version, run.data.tags):
                link.blame("altered", sentence)
        return link

    def _run(self, run: "Run | None", run_id: str, version: ModelVersion | None) -> Link:
        link = Link("run", f"run {run_id or 'unknown'}")
        if not run:
            link.blame("missing", f"MLflow has no run {run_id}." if run_id else "Nothing names the run.")
            return link
        started = datetime.fromtimestamp(run.info.start_time / 1000, UTC)
        link.facts = {"started": started.isoformat(timespec="seconds"), "status": run.info.status}
        if run.info.lifecycle_stage != "active":
            link.blame("missing", "It was deleted in MLflow; `mlflow gc` removes its files.")
        link.links = [
            notebooks_link(self.client, run, version is not None),
            manifest_link(self.client, self.settings, run, version, self.data),
        ]
        return link


def _blame(link: Link, state: State, sentence: str | None) -> None:
    if sentence:
        link.blame(state, sentence)
