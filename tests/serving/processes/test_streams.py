"""Streams of events from a model process."""

import asyncio
from contextlib import aclosing

from mlops_lib.registry import ModelVersion
from serving.isolation.messages import WINDOW
from serving.operations.metrics import Metrics
from serving.processes.model import ProcessModel
from tests.support import model_process


def test_a_long_stream_comes_in_order_and_can_be_left(tmp_path):
    """More events than may be on their way reach the caller in order; whoever leaves ends the model's work."""
    settings = model_process.settings_in(tmp_path / "project", model_process.ENDLESS)
    folder = model_process.make_sum(tmp_path / "model", 1, model_process.ENDLESS)

    async def scenario():
        version = ModelVersion("toy", 1, "Production", "run", {})
        model = await ProcessModel.open(version, folder, (), settings, Metrics(None))
        for _ in range(2):
            async with aclosing(model.stream({"c0": 1.0})) as events:
                came = [(await anext(events)).data for _ in range(5 * WINDOW)]
            assert came == list(map(str, range(5 * WINDOW)))
            assert model._supervisor.running._calls == {}
        model.close()

    asyncio.run(scenario())
