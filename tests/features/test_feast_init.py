"""The repository of `feast init`, as it is, through the four steps and the service."""

import pytest

from examples.repurchase import demo
from mlops_lib import loaders, wrappers
from mlops_lib.registry import Registry
from tests.support import driver_project


@pytest.mark.slow
def test_the_repository_of_feast_init_trains_and_serves_as_it_is(tmp_path):
    """Each served answer, from a driver and the request's data, is the prediction of the evaluation step."""
    project = driver_project.make(tmp_path / "project")
    for command in (("features", "apply"), ("features", "materialize"), ("run",)):
        done = project.mlops(*command)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    settings = project.settings()
    version = Registry(settings).resolve("drivers", stage="Staging")
    loader = loaders.from_settings(settings)
    rows = loader.labels.frames["test"].reset_index(drop=True)
    expected = wrappers.load(version.uri, "sklearn").predict(loader.load("test"))
    now = rows.index[rows["event_timestamp"] == rows["event_timestamp"].max()]
    sent = rows.loc[now, ["driver_id", "val_to_add", "val_to_add_2"]].to_dict("records")
    assert len(sent) > 40
    with demo.Service(project.config_file) as service:
        url = service.start()
        answer = demo.post(f"{url}/predict", {"inputs": sent})
        single = demo.post(f"{url}/predict", {"inputs": sent[0]})
        lacking = {name: value for name, value in sent[0].items() if name != "val_to_add_2"}
        with pytest.raises(Exception, match="val_to_add_2"):
            demo.post(f"{url}/predict", {"inputs": lacking})
    assert answer["predictions"] == expected[now].tolist()
    assert single["predictions"] == expected[now[0]]
    assert single["features"]["counts"]["computed"] == 2
