"""Storage: files written atomically, locks, Parquet tables that only grow, receipts. Never here:
prices."""
