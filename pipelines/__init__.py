"""The training pipeline: four components, their wiring, and the runners."""
