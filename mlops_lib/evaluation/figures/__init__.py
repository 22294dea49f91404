"""Figures of evaluations, datasets, training and searches, in one house style."""
