"""Prediction tasks: how predictions of one kind are scored, drawn and compared with baselines."""
