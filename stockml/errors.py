"""Every error that stockml raises, in one tree.

    StockmlError
    ├── InvalidInput          what a person typed: InvalidTicker, InvalidSession, InvalidSetting;
    InvalidFile, also one
    │                         that can be made anew; OtherVersion, no damage; MixedPrices, replay
    and market in one home
    ├── FeedError             what the price provider answered: QuotaSpent, TiingoSpent, no fault of
    this ticker;
    │   │                     BadKey, BadTiingoKey, PremiumOnly, NotOffered, UnknownSymbol;
    BadPayload, not to be stored
    │   └── TransientFeedError    worth asking again, the only branch that is retried: RateLimited;
    │                             NoData, and Unreachable, no connection at all
    ├── StoreError            stored: StoreUnreadable, RecordUnreadable, DiskFull, NoBars, StoreBusy
    ├── HistoryError          imported history that cannot be joined: NoOverlap;
    InconsistentOverlap, no constant ratio
    ├── ModelError            TooFewBars, TooFewTickers, Diverged, InvalidForecast, NoChampion,
    NoForecast,
    │                         UnusableForecast; RowUnavailable; LooksAhead, a number that depends on
    a later bar
    ├── NightBusy             another run of this ticker is in progress
    ├── ProcessKilled         a process of a backtest's
    └── TrackingUnavailable   MLflow cannot be reached or written to; TrackingOutdated, for it is of
    an older version

An error carries its data as attributes and survives pickling; its text says what was expected,
found, and to do.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import ClassVar, dataclass_transform


@dataclass_transform(eq_default=False)
class StockmlError(Exception):
    """Base class. A subclass declares its data as fields, passed by position, and words them in
    `text` or `__str__`."""

    text: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        dataclass(eq=False, repr=False)(cls)  # every subclass is one

    def __str__(self) -> str:
        return self.text.format(**vars(self))


class InvalidInput(StockmlError):
    """Input from a person, or a file that can be made anew, is not usable; nothing was changed."""


class InvalidTicker(InvalidInput):
    ticker: str
    text = "expected a ticker like IBM, BRK-B or TSCO.LON, found {ticker!r:.42}; check the spelling"


class InvalidSession(InvalidInput):
    found: str
    why: str
    expected: str = "a trading session as YYYY-MM-DD"
    text = "expected {expected}, found {found!r:.42}: {why}"


class InvalidSetting(InvalidInput):
    name: str
    found: object
    bound: str
    text = "expected {name} to be {bound}, found {found!r}; correct the setting"


class InvalidFile(InvalidInput):
    path: str
    why: str
    text = "{path}: {why}"


class OtherVersion(InvalidFile):
    text = (
        "expected the {path} it was built on, found that of another version of stockml; its "
        "next night trains anew"
    )


class MixedPrices(InvalidInput):
    root: str
    held: str
    wanted: str

    def __str__(self) -> str:
        advice = (
            "unset STOCKML_CLOCK to go on with it"
            if self.held == "market"
            else "keep it for replays"
        )
        found = f"expected a home for {self.wanted} prices, found one with {self.held} prices"
        return f"{self.root}: {found}; {advice}, or name another folder in STOCKML_HOME"


class FeedError(StockmlError):
    ticker: str
    notice: str
    text = "{ticker}: {notice}"


class TransientFeedError(FeedError):
    """Asking again may help, after `wait_s` seconds."""

    wait_s = 2.0


class RateLimited(TransientFeedError):
    wait_s: float = 2.0
    text = "{ticker}: asked too fast, ask again in {wait_s:.0f} s ({notice})"


class NoData(TransientFeedError):
    text = (
        "{ticker}: expected a daily series, found {notice!r}; try later, and see `stockml doctor`"
    )


class Unreachable(NoData):
    text = (
        "{ticker}: cannot reach the price service (no network?): {notice}; try later, and "
        "see `stockml doctor`"
    )


class QuotaSpent(FeedError):
    period: str = "day"  # or hour, or month
    text = "{ticker}: today's requests are used up ({notice}); the next night catches up"


class TiingoSpent(QuotaSpent):
    text = (
        "{ticker}: Tiingo's requests of this {period} are used up ({notice}); "
        "once it is over, `stockml import {ticker}` asks again"
    )


class BadKey(FeedError):
    text = (
        "{ticker}: expected a valid Alpha Vantage key in ALPHAVANTAGE_API_KEY, found {notice}; "
        "get a free key at alphavantage.co/support/#api-key"
    )


class BadTiingoKey(BadKey):
    text = (
        "{ticker}: expected a valid Tiingo key in TIINGO_API_KEY, found {notice}; find it at "
        "tiingo.com/account/api"
    )


class PremiumOnly(FeedError):
    text = (
        "{ticker}: {notice} needs a premium key; import a CSV with `stockml import`, or set "
        "TIINGO_API_KEY"
    )


class NotOffered(FeedError):
    text = "{ticker}: {notice}; import a CSV with `stockml import`"


class UnknownSymbol(FeedError):
    advice: str = "check the spelling"
    text = "{ticker}: unknown symbol? the provider has no series for it ({notice}); {advice}"


class BadPayload(FeedError):
    text = "{ticker}: refused the answer, {notice}; nothing was stored"


class StoreError(StockmlError):
    path: str
    why: str
    text = "{path}: {why}"


class StoreUnreadable(StoreError):
    text = (
        "{path}: expected a readable Parquet file of bars, found {why}; it was left as it is: "
        "restore it from a backup, or move it away and import the history again"
    )


class RecordUnreadable(StoreError):
    advice: str = "restore it from a backup, or move it away to begin a new one"
    text = "{path}: expected a readable record, found {why}; it was left as it is: {advice}"


class DiskFull(StoreError):
    text = "{path}: expected room on the disk, found none ({why}); make room, then run this again"


class StoreBusy(StoreError):
    text = "{path}: another process holds this lock ({why}); try again when it has finished"


class NoBars(StoreError):
    advice: str = "fetch with `stockml nightly`, or bring history with `stockml import`"
    text = "{path}: {why}; {advice}"


class HistoryError(StockmlError):
    """Imported history and fetched bars do not fit together."""


class NoOverlap(HistoryError):
    ticker: str
    missing: tuple[date, ...]  # the sessions that would bridge the gap

    def __str__(self) -> str:
        more = f" and {len(self.missing) - 5} more" if len(self.missing) > 5 else ""
        return (
            f"{self.ticker}: expected the imported history to overlap the stored bars, found a "
            f"gap: {', '.join(map(str, self.missing[:5]))}{more} missing; import a file that "
            "covers these sessions"
        )


class InconsistentOverlap(HistoryError):
    ticker: str
    session: date
    expected_ratio: float
    found_ratio: float
    text = (
        "{ticker}: expected one lasting ratio between imported and stored closes, "
        "{expected_ratio:.4f}, found {found_ratio:.4f} on {session}, permanently or too "
        "often; is it the same company, and one adjustment? Import a newer file that ends no "
        "earlier or, after a spin-off that day, before it: `stockml import {ticker} FILE`"
    )


class ModelError(StockmlError):
    """Training or prediction cannot go on."""


class TooFewBars(ModelError):
    needed: int
    found: int
    what: str = "training"

    def __str__(self) -> str:
        missing = "1 is" if self.needed == self.found + 1 else f"{self.needed - self.found} are"
        return (
            f"expected at least {self.needed} sessions for {self.what}, found {self.found}: "
            f"{missing} missing; bring history with `stockml import`"
        )


class TooFewTickers(ModelError):
    needed: int
    sessions: int
    until: date
    found: int
    text = (
        "expected at least {needed} tickers of {sessions:,} sessions by {until} to "
        "pretrain a network from, found {found}: bring history, or name a folder of such price "
        "files as `prices`, or a later day as `through`; until then the shipped pretrained "
        "networks are used"
    )


class Diverged(ModelError):
    epoch: int
    loss: float
    text = (
        "training diverged in epoch {epoch}: expected a finite loss, found {loss}; "
        "the champion stays, lower the learning rate"
    )


class InvalidForecast(ModelError):
    ticker: str
    why: str
    text = "{ticker}: expected a forecast that can be published, found {why}; nothing was published"


class NoChampion(ModelError):
    ticker: str
    why: str
    text = "{ticker}: {why}"


class LooksAhead(ModelError):
    row: str
    session: str
    text = (
        "expected the forecast of {row} after the close of {session} to be independent of "
        "later bars, found that one changes it: nothing was published; please report it"
    )


class RowUnavailable(ModelError):
    row: str
    why: str
    text = "{row} {why}"


class NoForecast(ModelError):
    ticker: str
    home: str
    text = (
        "{ticker}: expected a published forecast in {home}, found none; make one with "
        "`stockml nightly {ticker}`"
    )


class UnusableForecast(ModelError):
    ticker: str
    expected: str
    found: str
    text = (
        "{ticker}: expected {expected}, found {found}; `stockml nightly {ticker}` makes a new one"
    )


class NightBusy(StockmlError):
    ticker: str
    waited_s: float
    text = (
        "{ticker}: another run of this ticker is at work, waited {waited_s:.0f} s; it will "
        "do this night's job"
    )


class TrackingUnavailable(StockmlError):
    address: str
    why: str
    text = "MLflow at {address} cannot be reached or written to ({why}); see `stockml doctor`"


class TrackingOutdated(TrackingUnavailable):
    """A newer MLflow made the database, which the installed one cannot read."""

    newest: str
    installed: str
    text = (
        "the database at {address} was made by MLflow {newest}, and MLflow {installed} is "
        "installed, which cannot read it; `pip install 'mlflow>={newest}'`"
    )


class ProcessKilled(StockmlError):
    workers: int
    text = (
        "expected {workers} processes to finish the backtest, found one killed, most likely "
        "for want of memory; end other programs, or name fewer tickers at a time"
    )


def quantity(number: int, thing: str) -> str:
    """A number with its noun: `1 step`, `1,825 steps`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


@contextmanager
def refused_as(error: Callable[[str], Exception]) -> Iterator[None]:
    """Turn an InvalidInput raised within the block into `error`, with the same text."""
    try:
        yield
    except InvalidInput as refused:
        raise error(str(refused)) from refused
