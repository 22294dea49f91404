"""MLflow's model registry: `versions`, `registration` behind the gate, `promotion` on a `decision`,
and `history`.

A name and a stage are resolved to a version number once, and then the number is used. So a stage that moves
never changes the model that a caller works with.
"""

from mlops_lib.registry.claims import ClaimedError
from mlops_lib.registry.decision import Decision
from mlops_lib.registry.found_moves import IN_USE
from mlops_lib.registry.history import Entry, History
from mlops_lib.registry.model_files import MODEL_DIGEST_TAG, model_digest
from mlops_lib.registry.promotion import Registry
from mlops_lib.registry.registration import CHAMPION_TAG, GATE_TAG, champion_tag, register_run
from mlops_lib.registry.version_facts import METRIC_TAG, SCORE_TAG, replaced, scores
from mlops_lib.registry.versions import ModelVersion

__all__ = [
    "CHAMPION_TAG", "GATE_TAG", "IN_USE", "METRIC_TAG", "MODEL_DIGEST_TAG", "SCORE_TAG",
    "ClaimedError", "Decision", "Entry", "History", "ModelVersion", "Registry", "champion_tag",
    "model_digest", "register_run", "replaced", "scores",
]  # fmt: skip
