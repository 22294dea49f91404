"""Training: run lifecycle, Lightning's fit, several processes, TrainJobs."""
