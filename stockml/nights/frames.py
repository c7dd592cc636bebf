"""What other programs read: bars, forecasts, ledger and nights as data frames, for notebooks; and
every ticker's newest published forecast in `latest.parquet` and `latest.csv`. Needs no server and
no TensorFlow.

    import stockml
    home = stockml.Home()
    home.bars("IBM"); home.forecast("IBM"); home.ledger("IBM"); home.nights("IBM")
    home.size("IBM", capital=50_000, risk=0.01).shares
    pd.concat({ticker: home.ledger(ticker) for ticker in home.tickers()}, names=["ticker"])  # of
    all tickers

Prices are in the currency in which the exchange quotes the ticker. Frames are copies: changes to
them are not kept. `latest` has a row a ticker and lead, in this order; an empty cell is not known.

| column | |
| --- | --- |
| session | the forecast was made after its close; an old day, where nothing newer was published |
| ticker, lead, target | `lead` sessions after `session` is `target` |
| close | the price of `session` |
| price | what is forecast: `close`, or `mid` by the tutorial's network |
| median, low_80, high_80, low_95, high_95 | of the price of `target`, and the ends of its bands |
| loss | share of the close that it loses, or more, in one case of twenty; 0.05 is 5 % |
| touch_5, touch_10 | the chance, 0 to 1, of a low 5 or 10 % below the close within 20 sessions |
"""

import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from stockml.clock import END_OF_RECORDING, is_frozen, now
from stockml.errors import NoForecast, StoreError
from stockml.forecasts.forecast import EXPIRES_AFTER, Age, Forecast, Position, age_of, position
from stockml.forecasts.ledger import Ledger, LedgerEntry, entries_of
from stockml.forecasts.ledger_scores import last_closes, scored_steps
from stockml.forecasts.outlook import FALLS
from stockml.forecasts.proper_scores import BANDS
from stockml.home import HomePaths, current_home
from stockml.nights.key_figures import store_of
from stockml.nights.record import Night, kept_night, read_night
from stockml.nights.status import known_tickers
from stockml.nights.tables import rise
from stockml.nights.universe import NightRow
from stockml.prices.calendar import Sessions
from stockml.prices.series import PriceSeries
from stockml.prices.store import BarStore
from stockml.provider.price_source import is_named, kind_here, replay_home
from stockml.storage.files import write_atomically
from stockml.storage.locks import BUSY_S, file_lock
from stockml.tickers import validated_ticker

BOUNDS = [f"{side}_{band}" for band in BANDS for side in ("low", "high")]


@dataclass(frozen=True)
class Published:
    """night: the entry's; None where its record is gone or damaged."""

    entry: LedgerEntry
    night: Night | None

    @property
    def forecast(self) -> Forecast:
        """The night's, with its chances of a touch; else the ledger's."""
        return self.night.forecast if self.night and self.night.forecast else self.entry.forecast

    def age(self, sessions: Sessions, now: datetime) -> Age:
        """By the night's own limit, if it is known."""
        limit = self.night.expires_after if self.night else EXPIRES_AFTER
        return age_of(self.forecast.origin, sessions, now, limit)


def newest_published(home: HomePaths, ticker: str) -> Published:
    """The last of the ledger's newest session.  Raises NoForecast, RecordUnreadable."""
    [entry] = entries_of(ticker, Ledger(home.ledger).newest(ticker))
    return Published(entry, kept_night(home.nights, ticker, entry.key))


def write_latest(home: HomePaths) -> None:
    """Write both files, if anything was ever published.  Raises StoreBusy, DiskFull, OSError."""
    # else an older table might be the last that is written
    with file_lock(home.locks / "latest.lock", BUSY_S):
        table, parquet = latest(home), BytesIO()
        if table.empty:
            return
        table.to_parquet(parquet, index=False)
        for name, content in zip(
            NAMES, (parquet.getvalue(), table.to_csv(index=False).encode()), strict=True
        ):
            write_atomically(home.root / name, content)


def latest(home: HomePaths) -> pd.DataFrame:
    """The table, its days as naive midnights.  A ticker whose ledger is damaged is left out: its
    own night fails."""
    tables = []
    for ticker in sorted(known_tickers(home)):
        with suppress(StoreError, NoForecast):
            tables.append(_rows(home, ticker))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _rows(home: HomePaths, ticker: str) -> pd.DataFrame:
    forecast = newest_published(home, ticker).forecast
    touches = {each.fall: each.shown for each in forecast.touches}
    columns: dict[str, Any] = {
        "session": pd.Timestamp(forecast.origin),
        "ticker": ticker,
        "lead": range(1, len(forecast.path) + 1),
        "target": pd.DatetimeIndex(forecast.sessions),
        "close": forecast.now,
        "price": forecast.price,
        "median": forecast.path,
    }
    for coverage in (80, 95):
        band = forecast.band(coverage)
        columns |= {f"low_{coverage}": band.low, f"high_{coverage}": band.high}
    columns["loss"] = forecast.losses()
    columns |= {f"touch_{100 * fall:.0f}": touches.get(fall, float("nan")) for fall in FALLS}
    return pd.DataFrame(columns)


class Home:
    """One installation; `folder=None` is the one that the commands use: STOCKML_HOME, `~/.stockml`,
    or its replay."""

    def __init__(self, folder: str | Path | None = None) -> None:
        environ = {**os.environ, **({"STOCKML_HOME": str(folder)} if folder else {})}
        home = current_home(environ)
        is_chosen = folder or is_named(environ) or kind_here(home, environ) == "market"
        self._paths = home if is_chosen else replay_home(environ)

    def __repr__(self) -> str:
        return f"stockml.Home({str(self._paths.root)!r})"

    def tickers(self) -> tuple[str, ...]:
        """The tickers that have bars, in alphabetical order."""
        return BarStore.of(self._paths).tickers()

    def bars(
        self, ticker: str, *, adjusted: bool = True, as_of: datetime | None = None
    ) -> pd.DataFrame:
        """Daily bars, oldest first: index `session` (naive midnights); open, high, low, close;
        volume in shares.

        adjusted: for splits, with imported history in front; otherwise raw as traded, restated
        sessions at their newest value.  as_of: only what was recorded by this time, UTC if it has
        no zone.  Raises NoBars, StoreError.
        """
        store, ticker = self._store(ticker), validated_ticker(ticker)
        return store.adjusted(ticker, as_of=as_of) if adjusted else store.read(ticker, as_of=as_of)

    def forecast(self, ticker: str) -> pd.DataFrame:
        """The newest published forecast: index `session`, the sessions after its origin; closes.

        Columns: lead (1 …), forecast, low_50, high_50, low_80, high_80, low_95, high_95; weight:
        the network's share of the width, 0 without a network. `attrs`: probability_of_rise: the
        chance (0 to 1) that the price is higher at lead `direction_step`; and as text, which
        Parquet files keep, origin and published_at (ISO 8601), key, age, which says when the
        forecast has expired, and rise: that chance beside how often the price rose. Raises
        NoForecast, RecordUnreadable.
        """
        ticker = validated_ticker(ticker)
        last, published = (
            Ledger(self._paths.ledger).newest(ticker),
            newest_published(self._paths, ticker),
        )
        entry, forecast = published.entry, published.entry.forecast
        frame = last.drop(columns="session").rename(columns={"due": "session", "path": "forecast"})
        frame = frame.set_index("session")[["lead", "forecast", *BOUNDS, "weight"]]
        frame.attrs = {
            "age": str(self._age(published)),
            "origin": forecast.origin.isoformat(),
            "published_at": entry.published_at.isoformat(),
            "key": entry.key,
            "rise": rise(published.night, forecast),
            "probability_of_rise": forecast.probability_of_rise,
            "direction_step": forecast.direction_step,
        }
        return frame

    def size(self, ticker: str, *, capital: float, risk: float, lead: int = 1) -> Position:
        """How many shares lose at most `risk` (0.01: 1 %) of the capital after `lead` sessions, but
        for 1 case in 20.

        `stockml.forecasts.forecast.LIMITS` says what it is not. capital: in the currency of the
        ticker's prices. Raises InvalidSetting, NoForecast, UnusableForecast where it has expired,
        RecordUnreadable.
        """
        ticker = validated_ticker(ticker)
        published = newest_published(self._paths, ticker)
        return position(
            ticker, published.forecast, self._age(published), capital=capital, risk=risk, lead=lead
        )

    def ledger(self, ticker: str) -> pd.DataFrame:
        """Every published step that counts (one forecast per session), beside its outcome: one row
        per (origin, lead).

        Columns: origin, lead, session (naive midnights); timing: live, late or backfilled; key: the
        night's, as in `nights`; probability_of_rise: above last_close at lead direction_step;
        forecast, low_50 … high_95, actual: closes or, in earlier versions, mid prices; last_close:
        the origin's. Prices are in the origin's share units; actual is NaN until it is known. Empty
        without forecasts. Raises NoBars, RecordUnreadable.
        """
        store, ticker = self._store(ticker), validated_ticker(ticker)
        counting = Ledger(self._paths.ledger).counting(ticker, store.sessions(ticker))
        series = PriceSeries.from_bars(store.adjusted(ticker))
        units = store.restated_price_factors(ticker)
        outcomes = scored_steps(counting, series, units)
        joined = counting.merge(
            outcomes[["key", "lead", "reached"]], on=["key", "lead"], how="left"
        )
        joined["last_close"] = last_closes(joined, series, units)
        new_names = {"session": "origin", "due": "session", "path": "forecast", "reached": "actual"}
        first = [
            "origin",
            "lead",
            "session",
            "timing",
            "key",
            "probability_of_rise",
            "direction_step",
            "forecast",
        ]
        return joined.rename(columns=new_names)[[*first, *BOUNDS, "last_close", "actual"]]

    def nights(self, ticker: str) -> pd.DataFrame:
        """Every completed night, oldest first: index `session` (naive midnights); fields of
        `NightRow`, and key.

        `help(stockml.nights.universe.NightRow)` says what they are. Skills and changes are
        fractions: 0.05 is 5 %. Missing figures are NaN. Empty without nights. Raises InvalidFile.
        """
        paths = sorted((self._paths.nights / validated_ticker(ticker)).glob("*/night.json"))
        nights = sorted(
            (read_night(path) for path in paths),
            key=lambda night: (night.session, night.finished_at),
        )
        rows = [
            asdict(NightRow.of_night(night, "Completed")) | {"key": night.key} for night in nights
        ]
        fields = NightRow.__dataclass_fields__
        figures = {name: float for name, field in fields.items() if field.type == float | None}
        frame = pd.DataFrame(rows, columns=[*fields, "key"]).astype(
            {"session": "datetime64[us]", **figures}
        )
        return frame.set_index("session")

    def _age(self, published: Published) -> Age:
        replays = not is_named(os.environ) and kind_here(self._paths, os.environ) == "replay"
        at = END_OF_RECORDING if replays and not is_frozen() else now()
        ticker = published.entry.ticker
        return published.age(self._store(ticker).sessions(ticker), at)

    def _store(self, ticker: str) -> BarStore:
        return store_of(self._paths, validated_ticker(ticker))


NAMES = "latest.parquet", "latest.csv"
