"""The published forecast, its calibration, the ledger and its scores. Never here: networks."""
