"""Stages: promote a version, and roll a stage back.

A stage is stored twice, as MLflow's stage and as an alias of the same name in lower case, because MLflow
deprecates stages in favour of aliases. Both move together.
"""

import warnings
from contextlib import suppress
from typing import TYPE_CHECKING

from mlops_lib.errors import RegistryError
from mlops_lib.registry.history import replaced, replaced_tag
from mlops_lib.registry.versions import ModelVersion, Versions

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

STAGES = ("Staging", "Production", "Archived")
#: Stages that one version at a time holds, with an alias of the same name.
IN_USE = ("Staging", "Production")


class Registry(Versions):
    """The registry at the configured tracking server: versions and their stages."""

    def promote(self, name: str, version: int, stage: str) -> ModelVersion:
        """Move `version` to `stage` (stage and alias), and archive the version that was there.

        If the move fails half-way, both versions are moved back, as far as the registry answers.
        """
        if stage.title() not in STAGES:
            raise RegistryError(f"Unknown stage {stage!r}. Stages: {', '.join(STAGES)}.")
        stage = stage.title()
        found = self.resolve(name, version=version)
        before = [v for v in self.versions(name) if v.stage == stage and v.version != version]
        if before:
            with self._explained(f"note what {name!r} version {version} replaces"):
                self._client.set_model_version_tag(
                    name, str(version), replaced_tag(stage), str(before[0].version)
                )
        try:
            return self._place(name, version, stage)
        except BaseException:
            for moved in (found, *before):
                with suppress(Exception):  # the first error matters
                    self._place(name, moved.version, moved.stage)
            raise

    def roll_back(self, name: str, stage: str) -> ModelVersion:
        """Give `stage` back to the version that held it before; called again, to the version before that.

        Raises:
            RegistryError: No version is at the stage, or the one that is there replaced none.
        """
        current = self.resolve(name, stage=stage)
        if not (before := replaced(current)):
            raise RegistryError(
                f"{name!r} version {current.version} replaced no version at {current.stage}, so there is none to go "
                f"back to. List the versions with: mlops models {name}"
            )
        placed = self._place(name, before, current.stage)
        with self._explained(f"forget what {name!r} version {current.version} replaced"):
            self._client.delete_model_version_tag(name, str(current.version), replaced_tag(current.stage))
        return placed

    def _place(self, name: str, version: int, stage: str) -> ModelVersion:
        with self._explained(f"move {name!r} version {version} to {stage}"):
            _move(self._client, name, version, stage)
            if stage in IN_USE:
                self._client.set_registered_model_alias(name, stage.lower(), str(version))
            for alias in self.resolve(name, version=version).aliases:
                if alias.title() in STAGES and alias != stage.lower():
                    self._client.delete_registered_model_alias(name, alias)
        return self.resolve(name, version=version)


def _move(client: "MlflowClient", name: str, version: int, stage: str) -> None:
    with warnings.catch_warnings():
        # MLflow warns that stages are deprecated; the alias is there for when they go.
        warnings.simplefilter("ignore", FutureWarning)
        client.transition_model_version_stage(
            name, str(version), stage, archive_existing_versions=stage in IN_USE
        )
