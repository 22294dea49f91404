"""Records of a model's calls: traces in MLflow, and the trajectory of a row."""
