"""Causal inputs, scaling, segments, windows and the split of origins. Never here: Keras."""
