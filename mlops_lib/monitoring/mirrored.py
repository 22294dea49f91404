"""Finds the requests that a service's champion and challenger both answered,
in 24 bytes a record of the log."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mlops_lib.errors import DataError
from mlops_lib.monitoring.prediction_log import PredictionLog

if TYPE_CHECKING:
    import pyarrow as pa

READ = (
    "time", "request_id", "key", "role", "model", "version", "model_digest", "latency_ms", "finished", "error",
)  # fmt: skip
#: Roles in the log by their codes. A canary is a challenger that answered instead of the champion.
ROLES = CHAMPION, MIRROR, CANARY = "champion", "mirror", "challenger"
UNFINISHED, FINISHED, FAILED = range(3)
RECORD = np.dtype(
    [("id", "u8"), ("time", "i8"), ("ms", "f4"), ("version", "i2"), ("role", "i1"), ("state", "i1")]
)
#: Between the parts of a text that identifies a request or a version.
SEPARATOR = "\x1f"


class LoggedVersion(NamedTuple):
    """A version that answered. `digest` of its files is "" in the log of an earlier release."""

    name: str
    version: int
    digest: str

    def __str__(self) -> str:
        return f"{self.name} version {self.version}"


@dataclass(frozen=True)
class MirroredRequests:
    """Requests that one pair of versions answered, in the order of time.

    Attributes:
        ids: Digest of each request, as `request_digests` gives it, uint64 [N].
        times: Microseconds since 1970, int64 [N].
        champion_ms, challenger_ms: Latency of each request, float32 [N].
        failed: Requests that the challenger failed on, bool [N].
        left_out: Reason -> requests that are not among them.
    """

    champion: LoggedVersion
    challenger: LoggedVersion
    ids: np.ndarray
    times: np.ndarray
    champion_ms: np.ndarray
    challenger_ms: np.ndarray
    failed: np.ndarray
    left_out: dict[str, int]

    def __len__(self) -> int:
        return len(self.ids)


def mirrored(log: PredictionLog, since: datetime | None = None) -> MirroredRequests:
    """The requests that both versions of the latest pair answered.

    Args:
        since: Leave out earlier requests.

    Raises:
        DataError: No request was answered by two versions.
    """
    versions: list[str] = []
    records = np.concatenate([np.zeros(0, RECORD), *_records(log, versions, since)])
    records = records[np.lexsort((records["role"], records["id"]))]
    starts = np.flatnonzero(np.diff(records["id"], prepend=~records["id"][:1]))
    counts = [np.add.reduceat(records["role"] == role, starts, dtype=int) for role in range(len(ROLES))]
    of_champion, of_mirror, of_canary = counts if len(starts) else ([np.zeros(0, int)] * 3)
    one_each = (of_champion == 1) & (of_mirror == 1) & (of_canary == 0)
    champion, mirror = records[starts[one_each]], records[starts[one_each] + 1]
    finished = (champion["state"] == FINISHED) & (mirror["state"] != UNFINISHED)
    usable = finished & (champion["version"] != mirror["version"])
    if not usable.any():
        twice = int(((of_champion > 1) | (of_mirror > 1)).sum())
        same = int((finished & (champion["version"] == mirror["version"])).sum())
        raise DataError(_nothing(log, since, dict(zip(ROLES, map(sum, counts), strict=True)), twice, same))
    last = np.argmax(np.where(usable, champion["time"], -1))
    pair = champion["version"][last], mirror["version"][last]
    chosen = usable & (champion["version"] == pair[0]) & (mirror["version"] == pair[1])
    times = champion["time"][chosen]
    first = records["time"][starts]
    meanwhile = (first >= times.min()) & (first <= times.max())
    left_out = {
        "answered by other versions": usable.sum() - chosen.sum(),
        "request id used more than once": ((of_champion > 1) | (of_mirror > 1) | (of_canary > 1)).sum(),
        "unfinished": (~finished).sum(),
        "not mirrored": (meanwhile & (of_champion == 1) & (of_mirror == 0)).sum(),
        "no record of the champion": (meanwhile & (of_champion == 0) & (of_mirror == 1)).sum(),
        "answered by the challenger as a canary": (meanwhile & (of_canary == 1)).sum(),
    }
    order = np.argsort(times, kind="stable")
    champion, mirror = champion[chosen][order], mirror[chosen][order]
    return MirroredRequests(
        champion=_version(versions[pair[0]]),
        challenger=_version(versions[pair[1]]),
        ids=champion["id"].copy(),
        times=champion["time"].copy(),
        champion_ms=champion["ms"].copy(),
        challenger_ms=mirror["ms"].copy(),
        failed=mirror["state"] == FAILED,
        left_out={reason: int(count) for reason, count in left_out.items() if count},
    )


def request_digests(rows: "pa.Table") -> np.ndarray:
    """A 64-bit digest of the request of each row, uint64 [rows]:
    of its id and the name of the caller's API key.

    Two requests with one digest would count as one request id that was used twice, and be left out.
    """
    import pandas as pd
    import pyarrow.compute as pc

    texts = pc.binary_join_element_wise(rows["request_id"], pc.fill_null(rows["key"], ""), SEPARATOR)
    return pd.util.hash_array(texts.to_numpy(), categorize=False)


def among(digests: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Which digests are in `wanted`, which is sorted: `np.isin` would sort it for each batch."""
    if not len(wanted):
        return np.zeros(len(digests), bool)
    return wanted[np.searchsorted(wanted, digests).clip(max=len(wanted) - 1)] == digests


def _records(log: PredictionLog, versions: list[str], since: datetime | None) -> Iterator[np.ndarray]:
    """The log's answers in the form `RECORD`. A version is its position in `versions`, which grows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for rows in log.read("predictions", READ, pc.field("role").isin(ROLES), since):
        parts = (rows["model"], pc.cast(rows["version"], pa.string()), pc.fill_null(rows["model_digest"], ""))
        version = pc.binary_join_element_wise(*parts, SEPARATOR)
        versions += [new for new in pc.unique(version).to_pylist() if new not in versions]
        finished = pc.fill_null(rows["finished"], True).to_numpy()
        failed = pc.is_valid(rows["error"]).to_numpy()
        found = np.zeros(rows.num_rows, RECORD)
        found["id"] = request_digests(rows)
        found["time"] = pc.cast(rows["time"], pa.int64()).to_numpy()
        found["ms"] = rows["latency_ms"].to_numpy()
        found["version"] = pc.index_in(version, pa.array(versions)).to_numpy()
        found["role"] = pc.index_in(rows["role"], pa.array(ROLES)).to_numpy()
        found["state"] = np.where(failed, FAILED, np.where(finished, FINISHED, UNFINISHED))
        yield found


def _version(text: str) -> LoggedVersion:
    name, number, digest = text.split(SEPARATOR)
    return LoggedVersion(name, int(number), digest)


def _nothing(
    log: PredictionLog, since: datetime | None, counts: dict[str, int], twice: int, same: int
) -> str:
    """The error for a log without a request that two versions answered.

    Args:
        twice: Request ids that are there more than once.
        same: Requests whose champion and challenger are the same version.
    """
    when = f" since {since:%Y-%m-%d %H:%M %Z}" if since else ""
    found = ", ".join(f"{count} of the {role}" for role, count in counts.items())
    if twice:
        found += f"; {twice} request ids are there more than once, so their answers cannot be told apart"
    if same:
        found += f"; {same} requests were answered by the same version twice"
    return (
        f"No request in the prediction log {log.folder} was answered by a champion and a challenger{when}. Records: "
        f"{found}. Give a version the alias serving.challenger: the service then sends it each request too."
    )
