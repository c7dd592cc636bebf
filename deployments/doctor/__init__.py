"""`stockml doctor`: what could keep tonight's run from working, and what to do about it. Changes nothing."""
