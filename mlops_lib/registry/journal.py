"""Reads and writes the history of registered models, under a claim."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mlops_lib.redact import mask
from mlops_lib.registry.claims import WAIT_S, Claim, claim
from mlops_lib.registry.decision import Decision
from mlops_lib.registry.found_moves import found_moves
from mlops_lib.registry.history import ENTRY_TAG, Action, Entry, History, current_user, now, read, shortened
from mlops_lib.registry.model_files import MODEL_DIGEST_TAG
from mlops_lib.registry.versions import ModelVersion, Versions


class Journal(Versions):
    """The histories of the models in the registry of the configured tracking server."""

    def history(self, name: str) -> History:
        """The entries of `name`, and what is wrong with them.

        Raises:
            RegistryError: There is no such model, or the registry cannot be reached.
        """
        return self._history(name, self.versions(name))

    def enter_found_moves(self, name: str) -> list[Entry]:
        """Add the moves that were made outside the platform to the history; returns the new entries.

        Processes that see the same move enter it once.

        Raises:
            ClaimedError: Another process is moving a version of the model: try again later.
            RegistryError: The registry cannot be reached, or may not be written to.
        """
        versions = self.versions(name)
        if not versions or not list(found_moves(self._history(name, versions).holders(), versions)):
            return []
        with self._explained(f"enter moves of {name!r}"), claim(self._client, name, wait_s=0):
            return self._enter_found_moves(name)

    @contextmanager
    def _moving(self, name: str) -> Iterator[Claim]:
        """Claim a model for one move, with all earlier moves in its history."""
        with self._explained(f"claim {name!r}"), claim(self._client, name, WAIT_S) as claimed:
            self._enter_found_moves(name)
            yield claimed

    def _enter_found_moves(self, name: str) -> list[Entry]:
        versions = self.versions(name)
        return [
            self._enter(name, "found_moved", move.place, move.version, move.replaced, reason=move.reason)
            for move in found_moves(self._history(name, versions).holders(), versions)
        ]

    def _history(self, name: str, versions: Sequence[ModelVersion]) -> History:
        with self._explained(f"read the history of {name!r}"):
            tags = self._client.get_registered_model(name).tags
        return read(name, tags, [v.tags[ENTRY_TAG] for v in versions if ENTRY_TAG in v.tags])

    def _enter(
        self,
        name: str,
        action: Action,
        stage: str,
        version: ModelVersion | None,
        replaced: int = 0,
        decision: Decision | None = None,
        reason: str = "",
    ) -> Entry:
        """Append an entry. The caller holds the claim."""
        history = self.history(name)
        entry = Entry(
            history.last + 1,
            now(),
            current_user(),
            action,
            stage,
            version.version if version else 0,
            replaced,
            version.run_id if version else "",
            version.tags.get(MODEL_DIGEST_TAG, "") if version else "",
            decision.evidence if decision else "",
            decision.evidence_sha256 if decision else "",
            mask(decision.reason if decision else reason),
            shortened(decision.overridden) if decision else (),
            history.last_sha256,
        )
        with self._explained(f"add an entry to the history of {name!r}"):
            self._client.set_registered_model_tag(name, entry.tag, entry.to_text())
            if version:
                tail = f"{entry.number} {entry.sha256} {name}"
                self._client.set_model_version_tag(name, str(version.version), ENTRY_TAG, tail)
        return entry
