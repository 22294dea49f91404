"""Compare the service's feature lookup with one `get_online_features` call for each request.

``python -m benchmarks.enrichment [concurrency] [redis]``. First the lookup alone, then a whole service over
HTTP, in interleaved rounds. The store is SQLite, or with `redis` a Redis that is started here.
"""

import asyncio
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas as pd

from mlops_lib import config, features, loaders, registry, wrappers
from mlops_lib.registry import ModelVersion
from mlops_lib.settings import Settings
from serving.features.enrichment import Enricher
from serving.features.statuses import EnrichedRows, Statuses
from tests.support import servers
from tests.support.feature_projects import NOW, write_config, write_repo

USERS, REQUESTS, ROUNDS = 5_000, 1_500, 5
TAGS = {"mlops.feature_service": "numbers", "mlops.entity_keys": "user_id"}
COLUMNS = ["visits", "age"]


class Naive(Enricher):
    """The method of Feast's own feature server: each request resolves the feature
    service and reads one row."""

    def feature_service(self) -> Any:
        return self.provider.store.get_feature_service("numbers", allow_cache=True)  # type: ignore[attr-defined]

    async def enrich(self, rows: Any) -> EnrichedRows:
        keys = [{"user_id": row["user_id"]} for row in rows]
        read = self.provider.store.get_online_features  # type: ignore[attr-defined]
        found = (await asyncio.to_thread(lambda: read(self.feature_service(), keys))).to_dict()
        made = [{name: found[name][i] for name in COLUMNS} for i in range(len(rows))]
        return EnrichedRows(made, Statuses({"online": 2}))


class Held(Naive):
    """The same with the feature service resolved once."""

    held: Any = None

    def feature_service(self) -> Any:
        self.held = self.held or super().feature_service()
        return self.held


KINDS = {"resolved each time": Naive, "resolved once": Held, "ours": Enricher}


def main(concurrency: int = 32, online: str = "sqlite") -> None:
    """Print requests a second of each method, alone and served, and the ratios."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        entry = "{type: sqlite, path: data/online.db}"
        if online == "redis":
            port, _ = stack.enter_context(servers.redis_server())
            entry = f'{{type: redis, connection_string: "127.0.0.1:{port}"}}'
        settings = project(Path(name), entry)
        enrichers = {name: made(kind, settings) for name, kind in KINDS.items()}
        alone: dict[str, list[float]] = {name: [] for name in KINDS}
        for _ in range(ROUNDS):
            for name, rates in alone.items():
                rates.append(asyncio.run(_alone(enrichers[name], concurrency)))
        show(f"lookup alone, {online}, {concurrency} at once", alone)
        register(settings)
        ports = {name: stack.enter_context(served(kind, settings)) for name, kind in KINDS.items()}
        over_http: dict[str, list[float]] = {name: [] for name in (*KINDS, "no lookup")}
        for _ in range(ROUNDS):
            for name, rates in over_http.items():
                whole = name == "no lookup"
                rates.append(
                    asyncio.run(_over_http(ports["ours" if whole else name], concurrency, whole=whole))
                )
        show(f"whole service over HTTP, {online}, {concurrency} at once", over_http)


def show(what: str, rates: dict[str, list[float]]) -> None:
    """Print the medians in requests a second, and our ratio to each of the others."""
    median = {name: statistics.median(found) for name, found in rates.items()}
    ours = median["ours"]
    others = ", ".join(
        f"{name} {rate:.0f}/s ({ours / rate:.1f} x)" for name, rate in median.items() if name != "ours"
    )
    print(f"{what}: ours {ours:.0f}/s; {others}", flush=True)


def project(folder: Path, online: str) -> Settings:
    """Make a project whose feature store has a few thousand users."""
    repo = write_repo(folder / "repo", online)
    users = range(USERS)
    visits = pd.DataFrame({"user_id": users, "event_timestamp": NOW, "visits": users})
    visits.to_parquet(repo / "data/visits.parquet")
    profile = {"user_id": users, "event_timestamp": NOW, "age": [float(u) for u in users], "city": "x"}
    pd.DataFrame(profile).to_parquet(repo / "data/profile.parquet")
    labels = {"user_id": users, "event_timestamp": NOW, "bought": [u % 2 for u in users]}
    pd.DataFrame(labels).to_parquet(folder / "labels.parquet")
    write_config(folder, "serving: {stage: Staging, features: {timeout_s: 30}}")
    network = {"model.wrapper": "lightning", "model.implementation": "tabular", "train.max_epochs": 1}
    settings = config.load(folder / "config.yaml", network)
    provider = features.from_settings(settings)
    provider.apply()
    provider.materialize(NOW.replace(year=2000), NOW)
    return settings


def register(settings: Settings) -> None:
    """Train the platform's network on the features and move it to Staging."""
    dataset = loaders.from_settings(settings)
    dataset.write(settings.root / "data")
    prepared = loaders.prepared(settings, settings.root / "data")
    model = wrappers.from_settings(settings)
    result = model.train(prepared, settings)
    model.evaluate(prepared, settings)
    registry.register_run(settings, result.run_id)


def made(kind: type[Enricher], settings: Settings) -> Enricher:
    """Make an enricher of one kind that has answered once."""
    enricher = kind.for_version(ModelVersion("m", 1, "Production", "r", TAGS), COLUMNS, settings)
    assert enricher
    asyncio.run(enricher.enrich([{"user_id": 1}]))
    return enricher


async def _alone(enricher: Enricher, concurrency: int) -> float:
    async def one(number: int) -> None:
        for i in range(number, REQUESTS, concurrency):
            await enricher.enrich([{"user_id": (i * 7919) % USERS}])

    began = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(concurrency)))
    return REQUESTS / (time.perf_counter() - began)


class served:
    """Start a process that serves the sum of the features with an enricher of one kind; yield its port."""

    def __init__(self, kind: type[Enricher], settings: Settings) -> None:
        self.port = servers.free_port()
        arguments = (kind, settings, self.port)
        self.process = multiprocessing.get_context("spawn").Process(target=_serve, args=arguments)

    def __enter__(self) -> int:
        # Importing Feast set these variables, which would make every metric slow.
        # In a service that import comes too late.
        for name in ("PROMETHEUS_MULTIPROC_DIR", "PROMETHEUS_MULTIPROCESS_DIR"):
            os.environ.pop(name, None)
        self.process.start()
        while True:
            try:
                asyncio.run(_over_http(self.port, 1, requests=5))
                return self.port
            except OSError:
                time.sleep(0.2)

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.join()


def _serve(kind: type[Enricher], settings: Settings, port: int) -> None:
    import uvicorn

    from serving import app
    from serving.models import served as served_model

    served_model.Enricher = kind  # type: ignore[misc]
    uvicorn.run(app.create_app(settings), port=port, log_level="error", access_log=False)


async def _over_http(port: int, concurrency: int, requests: int = REQUESTS, whole: bool = False) -> float:
    """Measure requests a second over kept-alive connections. Written by hand:
    a client library costs more than the service.

    With `whole` rows nothing is looked up; this measures everything but the lookup.
    """

    async def one(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for i in range(number, requests, concurrency):
            row = {"visits": i, "age": float(i)} if whole else {"user_id": (i * 7919) % USERS}
            body = json.dumps({"inputs": row}).encode()
            head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            content = await reader.readexactly(length)
            if b" 200 " not in answer[:20]:
                raise OSError(content)
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(concurrency)))
    return requests / (time.perf_counter() - began)


if __name__ == "__main__":
    main(*(int(a) if a.isdigit() else a for a in sys.argv[1:]))  # type: ignore[arg-type]
