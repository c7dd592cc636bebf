"""A folder of daily price files as series, without an import: for learning from many tickers, and for backtests."""

from pathlib import Path

from stockml.errors import StockmlError
from stockml.prices.calendar import sessions_for
from stockml.prices.csv_import import files_in, read_history, ticker_of
from stockml.prices.series import PriceSeries


def read_folder(folder: Path) -> tuple[dict[str, PriceSeries], dict[str, StockmlError]]:
    """Every price file under a folder by its ticker, and the refusals by the name of the file.

    Doubtful bars are set aside, as a night does.
    """
    series, refusals = {}, {}
    for path in files_in(folder):
        try:
            ticker = ticker_of(path)
            series[ticker] = PriceSeries.from_bars(read_history(path, sessions_for(ticker)).believed)
        except StockmlError as refusal:
            refusals[path.name] = refusal
    return series, refusals
