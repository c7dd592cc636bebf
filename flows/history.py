"""Give a ticker its past: all sessions since 1999-11-01 with a premium key, or from Tiingo with its key."""

from prefect import flow
from prefect.logging import get_run_logger
from pydantic import Field

from flows.form import NO_DAY, CalendarName, Day, TickerName
from flows.nightly import exclusive_run
from stockml import clock
from stockml.prices.calendar import sessions_for
from stockml.storage.receipts import StoreReceipt
from stockml.tickers import validated_ticker
from tasks.caching import with_home_storage
from tasks.data import append_bars, explain_jumps, fetch_daily, import_history
from tasks.provider import has_second_provider, plan_gives_history


@flow(name="history", flow_run_name="history {ticker}")
def history(
    ticker: TickerName = Field("IBM", description="The symbol as Alpha Vantage writes it: IBM, BRK-B, TSCO.LON"),
    session: Day = Field(NO_DAY, description="Up to this trading day, YYYY-MM-DD; empty for the newest"),
    calendar: CalendarName = Field("", description="Exchange calendar such as XNYS; empty goes by the suffix"),
) -> StoreReceipt:
    """Fetch and store the whole raw history, and ask for the splits that its jumps suggest.

    On a plan that does not give it, the newest sessions, and the rest from the second provider where there is its key.
    """
    ticker, now, named = validated_ticker(ticker), clock.now(), calendar or None
    last = session or sessions_for(ticker, named).last_final(now)
    elsewhere = has_second_provider() and not plan_gives_history()
    with exclusive_run(ticker):
        payload = with_home_storage(fetch_daily)(ticker, last, named, now, "compact" if elsewhere else "full")
        bars = with_home_storage(append_bars)(payload, named, now)
        bars = with_home_storage(explain_jumps)(bars, named, now)
        get_run_logger().info("%s", bars.counted)
        if elsewhere:
            get_run_logger().info("%s", import_history(ticker, named, now))
    return bars
