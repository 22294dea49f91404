"""Stages: promote a version, and roll a stage back. Each move is an entry in the model's history.

A stage is stored twice, as MLflow's stage and as an alias of the same name in lower case, because MLflow
deprecates stages in favour of aliases. Both move together.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from mlops_lib.errors import RegistryError
from mlops_lib.registry import evidence
from mlops_lib.registry.decision import Decision
from mlops_lib.registry.found_moves import IN_USE
from mlops_lib.registry.history import Action
from mlops_lib.registry.journal import Journal
from mlops_lib.registry.version_facts import replaced, replaced_tag
from mlops_lib.registry.versions import ModelVersion

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

STAGES = ("Staging", "Production", "Archived")


class Registry(Journal):
    """The registry at the configured tracking server: versions, their stages and their history."""

    def promote(self, name: str, version: int, stage: str, decision: Decision | None = None) -> ModelVersion:
        """Move `version` to `stage` (stage and alias), and archive the version that was there.

        If the move fails half-way, both versions are moved back, as far as the registry answers.

        Args:
            decision: Needed for Production: `mlops_lib.promotion.promote` asks the gate for it.

        Raises:
            RegistryError: The decision is missing, its evidence is not as it was written, another
                version holds the stage by now, another process is moving a version of the model, or
                the registry cannot be reached.
        """
        if stage.title() not in STAGES:
            raise RegistryError(f"Unknown stage {stage!r}. Stages: {', '.join(STAGES)}.")
        stage = stage.title()
        found = self.resolve(name, version=version)
        if decision:
            evidence.check(self._client, found, decision, self._command("promote", name, version))
        elif stage == "Production":
            raise RegistryError(
                f"{name!r} version {version} is not moved to Production without the gate's decision. "
                f"Promote it with: {self._command('promote', name, version)}"
            )
        with self._moving(name) as claimed:
            found = self.resolve(name, version=version)
            at_stage = [v for v in self.versions(name) if v.stage == stage and stage in IN_USE]
            if decision:
                holder = at_stage[0].version if at_stage else 0
                _check_holder(
                    found, stage, decision.champion, holder, self._command("promote", name, version)
                )
            before = [v for v in at_stage if v.version != version]
            if before:
                with self._explained(f"note what {name!r} version {version} replaces"):
                    self._client.set_model_version_tag(
                        name, str(version), replaced_tag(stage), str(before[0].version)
                    )
            with self._moving_back(found, *before):
                claimed.check()
                placed = self._place(name, version, stage)
                action: Action = "archived" if stage == "Archived" else "promoted"
                if decision and decision.kind == "forced":
                    action = "forced"
                number = before[0].version if before else 0
                self._enter(name, action, stage, placed, number, decision)
                for other in before[1:]:
                    reason = f"It was at {stage} too when version {version} took the stage."
                    self._enter(name, "archived", "Archived", other, reason=reason)
        return self.resolve(name, version=version)

    def roll_back(self, name: str, stage: str) -> ModelVersion:
        """Give `stage` back to the version that held it before; called again, to the version before that.

        Raises:
            RegistryError: No version is at the stage, or the one that is there replaced none.
        """
        self.resolve(name, stage=stage)
        with self._moving(name) as claimed:
            current = self.resolve(name, stage=stage)
            if not (before := replaced(current)):
                raise RegistryError(
                    f"{name!r} version {current.version} replaced no version at {current.stage}, so there is none to go "
                    f"back to. List the versions with: {self._command('models', name)}"
                )
            claimed.check()
            with self._moving_back(self.resolve(name, version=before), current):
                placed = self._place(name, before, current.stage)
                self._enter(name, "rolled_back", current.stage, placed, current.version)
            with self._explained(f"forget what {name!r} version {current.version} replaced"):
                self._client.delete_model_version_tag(name, str(current.version), replaced_tag(current.stage))
        return self.resolve(name, version=before)

    @contextmanager
    def _moving_back(self, *moved: ModelVersion) -> Iterator[None]:
        """Give the versions their stages again if the block fails."""
        try:
            yield
        except BaseException:
            for version in moved:
                with suppress(Exception):  # the first error matters
                    self._place(version.name, version.version, version.stage)
            raise

    def _place(self, name: str, version: int, stage: str) -> ModelVersion:
        with self._explained(f"move {name!r} version {version} to {stage}"):
            _move(self._client, name, version, stage)
            if stage in IN_USE:
                self._client.set_registered_model_alias(name, stage.lower(), str(version))
            for alias in self.resolve(name, version=version).aliases:
                if alias.title() in STAGES and alias != stage.lower():
                    self._client.delete_registered_model_alias(name, alias)
        return self.resolve(name, version=version)


def _check_holder(version: ModelVersion, stage: str, judged: int, holder: int, again: str) -> None:
    if holder == judged:
        return
    was, now = (f"version {number}" if number else "no version" for number in (judged, holder))
    raise RegistryError(
        f"The decision on {version.name!r} version {version.version} was made with {was} at {stage}, and {now} is there "
        f"now. Ask the gate again: {again}"
    )


def _move(client: "MlflowClient", name: str, version: int, stage: str) -> None:
    with warnings.catch_warnings():
        # MLflow warns that stages are deprecated; the alias is there for when they go.
        warnings.simplefilter("ignore", FutureWarning)
        client.transition_model_version_stage(
            name, str(version), stage, archive_existing_versions=stage in IN_USE
        )
