"""Alpha Vantage: client, parsing, refusals, quota, archive of payloads. Never here: the store."""
