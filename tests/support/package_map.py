"""Reads the metadata of all installed packages when it is imported, as MLflow does in each process that logs a model."""

from mlflow.utils import requirements_utils

requirements_utils._init_packages_to_modules_map()
