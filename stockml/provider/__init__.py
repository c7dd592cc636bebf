"""Alpha Vantage and Tiingo: clients, parsing, refusals, quota, archive of payloads. Never here: the
store."""
