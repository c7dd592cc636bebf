"""Causal inputs, scaling, windows, splits of origins. Never here: Keras."""
