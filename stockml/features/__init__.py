"""Causal inputs, the split of origins, the segments between long holes. Never here: Keras."""
