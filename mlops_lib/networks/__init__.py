"""LightningModules that ship with the platform."""
