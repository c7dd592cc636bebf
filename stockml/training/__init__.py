"""Trainers, checkpoints, tuning, the tutorial's training. Never here: scores of the test part, the
tutorial's aside."""
