"""Names of the end states that this project adds to Prefect's; automations recognise them by
name."""

NO_SESSION = "No session"
NO_BAR = "No bar"
LATE = "Late"
WAITING = "Waiting"
NO_ANSWER = "Skipped: no answer"
STALE = "Stale"
SET_ASIDE = "Set aside"
AT_REST = "At rest"
QUOTA = "Skipped: quota"
REFUSED = "Refused"
TOO_FEW_SESSIONS = "Skipped: too few sessions"
TOO_FEW_TICKERS = "Skipped: too few tickers"
SKIPPED = "Skipped"
WITH_FAILURES = "Completed with failures"
FORECASTS_MISSING = "Forecasts missing"

OWN: frozenset[str] = frozenset(value for name, value in vars().items() if name.isupper())
