"""What of a ticker has grown too old to stand without a word, by the limits in the settings."""

from datetime import datetime

from stockml.errors import RecordUnreadable
from stockml.forecasts.forecast import age_of
from stockml.forecasts.ledger import Ledger
from stockml.home import Home
from stockml.models.registry import Registry
from stockml.prices.calendar import Sessions
from stockml.settings import AgeingSettings


def too_old(home: Home, ticker: str, sessions: Sessions, now: datetime, limits: AgeingSettings) -> list[str]:
    """A sentence for the forecast and for the champion, where they are past their limit at `now`.

    What cannot be read is not judged here: whoever needs it says so.
    """
    found = []
    try:
        last, champion = Ledger(home.ledger).last_session(ticker), Registry(home.models).champion(ticker)
    except RecordUnreadable:
        return []
    if last and (age := age_of(last, sessions, now, limits.old_forecast)).expired:
        found.append(f"the forecast has expired, {age.sessions} sessions old (limit {limits.old_forecast})")
    if champion and (old := sessions.age(champion.session, now)) > limits.old_champion:
        found.append(f"the champion is {old} sessions old (limit {limits.old_champion})")
    return found
