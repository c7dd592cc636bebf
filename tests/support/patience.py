"""How long a test waits for what must come: only one that fails waits that long, on a machine as busy as may be."""

PATIENCE_S = 600.0
