"""Training: the MLflow run around it, Lightning's fit, several worker processes, TrainJobs, and judging the result."""
