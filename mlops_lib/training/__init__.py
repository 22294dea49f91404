"""Training: the MLflow run around it, Lightning's fit, worker processes, TrainJobs, judging the result."""
