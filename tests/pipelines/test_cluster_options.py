"""What a step gets on a cluster, read from the YAML that is uploaded."""

import pytest
import yaml

from pipelines import kubeflow


@pytest.mark.slow
@pytest.mark.parametrize(
    ("work_dir", "given"), [("/mnt/mlops/repurchase", "/mnt/mlops/repurchase"), (".mlops", None)]
)
def test_the_work_folder_on_the_volume_is_given_to_each_step(project, tmp_path, work_dir, given):
    """The work folder of the image is deleted with the pod, and with it the step cache."""
    project.configure(cluster={"volume_claim": "mlops"}, pipeline={"work_dir": work_dir})
    kubeflow.compile_pipeline(project.settings(), tmp_path / "training.yaml")
    pipeline, _ = yaml.safe_load_all((tmp_path / "training.yaml").read_text())
    for executor in pipeline["deploymentSpec"]["executors"].values():
        environment = {variable["name"]: variable.get("value") for variable in executor["container"]["env"]}
        assert environment.get("MLOPS_WORK_DIR") == given
