"""One module a step of the night: receipts in, receipts out. Never here: formulas."""
