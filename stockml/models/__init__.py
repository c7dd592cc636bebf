"""Baselines, networks, forecasters, the registry of champions, when to retrain. Never here: the
course of training."""
