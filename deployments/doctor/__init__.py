"""`stockml doctor`: read-only checks for what could make tonight's run fail, each with its
remedy."""
