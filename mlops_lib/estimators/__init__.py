"""Estimators that ship with the platform."""
