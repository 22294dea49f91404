"""MLflow's store in PostgreSQL, as in deploy/compose.yaml: a real MLflow server on a real PostgreSQL."""

import pytest

from mlops_lib import loaders, registry, wrappers
from mlops_lib.registry import Registry
from tests.support import servers
from tests.support.promoting import promote

TREE = {
    "wrapper": "sklearn",
    "implementation": "sklearn.tree:DecisionTreeClassifier",
    "params": {"max_depth": 3},
}


@pytest.mark.slow
def test_a_registered_model_outlives_the_server(project, tmp_path):
    """A second server on the same database has the model that was registered and promoted through the first."""
    with servers.postgres_server() as port:
        store = f"postgresql+psycopg2://postgres:{servers.PASSWORD}@127.0.0.1:{port}/postgres"
        with servers.mlflow_server(store, str(tmp_path / "artifacts")) as url:
            settings = project.configure(model=TREE, mlflow={"tracking_uri": url}).settings()
            loaders.from_settings(settings).write(loaders.prepared_folder(settings))
            dataset = loaders.prepared(settings)
            model = wrappers.from_settings(settings)
            run_id = model.train(dataset, settings).run_id
            model.evaluate(dataset, settings)
            version = registry.register_run(settings, run_id)
            promote(settings, "repurchase", version.version)
        with servers.mlflow_server(store, str(tmp_path / "artifacts")) as url:
            settings = project.configure(mlflow={"tracking_uri": url}).settings()
            (kept,) = Registry(settings).versions("repurchase")
            assert (kept.run_id, kept.stage) == (run_id, "Production")
