"""The inference service: one FastAPI application for every kind of model."""
