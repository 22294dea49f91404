"""The steps of a pipeline: their contracts, their execution and their record."""
