"""Every error that stockml raises, in one tree.

    StockmlError
    ├── InvalidInput                  what a person typed: ticker, session, setting, file
    │   ├── InvalidTicker
    │   ├── NotRecorded
    │   ├── InvalidSession
    │   ├── InvalidSetting
    │   ├── InvalidFile
    │   └── MixedPrices               a replay and the market in one home
    ├── FeedError                     what the price provider answered
    │   ├── TransientFeedError        worth asking again: the only branch that is retried
    │   │   ├── RateLimited           a burst or a minute's quota; carries how long to wait
    │   │   ├── NoData                nothing usable came back
    │   │   └── LateBar               the session's bar is not published yet
    │   ├── QuotaSpent                today's requests are used up: not this ticker's fault
    │   ├── BadKey                    missing, invalid or demo key
    │   ├── PremiumOnly               not on this plan
    │   ├── UnknownSymbol
    │   └── BadPayload                an answer that must not be stored
    ├── StoreError                    what stands on disk
    │   ├── StoreUnreadable
    │   ├── StoreBusy
    │   ├── RecordUnreadable      a ledger or a promotion history
    │   ├── DiskFull
    │   └── NoBars
    ├── HistoryError                  imported history that cannot be joined
    │   ├── NoOverlap
    │   └── UnevenOverlap
    ├── ModelError
    │   ├── TooFewBars
    │   ├── Diverged
    │   ├── InvalidForecast       a path that must not be published
    │   ├── NoChampion
    │   └── NoForecast
    ├── ServerError                   the local servers: Prefect, MLflow, the feed
    │   ├── ServerUnavailable
    │   ├── ServerFailed
    │   ├── AlreadyUp
    │   └── PortTaken
    ├── NightBusy                     another run of this ticker is at work
    └── TrackingUnavailable           MLflow cannot be reached; the night's result is kept for the next run

An error carries its data as attributes, survives pickling, and its text says what was expected, what was found
and what to do. Retrying is decided by type: `TransientFeedError` and nothing else.
"""

from datetime import date


class StockmlError(Exception):
    """Base of all; a subclass hands its data to `super().__init__` and renders it in `__str__`."""


class InvalidInput(StockmlError):
    """Something a person gave is not usable; nothing was changed."""


class InvalidTicker(InvalidInput):
    def __init__(self, ticker: str) -> None:
        super().__init__(ticker)
        self.ticker = ticker

    def __str__(self) -> str:
        return f"expected a ticker like IBM, BRK-B or TSCO.LON, found {self.ticker[:40]!r}; check the spelling"


class NotRecorded(InvalidInput):
    """The replay feed has no prices of this ticker."""

    def __init__(self, ticker: str, recorded: tuple[str, ...]) -> None:
        super().__init__(ticker, recorded)
        self.ticker, self.recorded = ticker, recorded

    def __str__(self) -> str:
        return (
            f"expected one of the recorded tickers {', '.join(self.recorded)}, found {self.ticker}; "
            "set ALPHAVANTAGE_API_KEY to a key of your own for any other"
        )


class InvalidSession(InvalidInput):
    def __init__(self, found: str, why: str) -> None:
        super().__init__(found, why)
        self.found, self.why = found, why

    def __str__(self) -> str:
        return f"expected a trading session as YYYY-MM-DD, found {self.found[:40]!r}: {self.why}"


class InvalidSetting(InvalidInput):
    def __init__(self, name: str, found: object, bound: str) -> None:
        super().__init__(name, found, bound)
        self.name, self.found, self.bound = name, found, bound

    def __str__(self) -> str:
        return f"expected {self.name} to be {self.bound}, found {self.found!r}; correct the setting"


class InvalidFile(InvalidInput):
    def __init__(self, path: str, why: str) -> None:
        super().__init__(path, why)
        self.path, self.why = path, why

    def __str__(self) -> str:
        return f"{self.path}: {self.why}"


class MixedPrices(InvalidInput):
    """Recorded prices of a replay and the market's would land in one store."""

    def __init__(self, root: str, held: str, wanted: str) -> None:
        super().__init__(root, held, wanted)
        self.root, self.held, self.wanted = root, held, wanted

    def __str__(self) -> str:
        way = "set ALPHAVANTAGE_API_KEY to go on with it" if self.held == "market" else "keep it for replays"
        return (
            f"{self.root}: expected a home for {self.wanted} prices, found one with {self.held} prices; "
            f"{way}, or name another folder in STOCKML_HOME"
        )


class FeedError(StockmlError):
    """The price provider's answer cannot be used."""

    def __init__(self, ticker: str, notice: str) -> None:
        super().__init__(ticker, notice)
        self.ticker, self.notice = ticker, notice

    def __str__(self) -> str:
        return f"{self.ticker}: {self.notice}"


class TransientFeedError(FeedError):
    """Asking again may help."""

    wait_s = 2.0


class RateLimited(TransientFeedError):
    """Too many requests for now; `wait_s` says when to ask again."""

    def __init__(self, ticker: str, notice: str, wait_s: float = 2.0) -> None:
        super().__init__(ticker, notice)
        self.args = (ticker, notice, wait_s)
        self.wait_s = wait_s

    def __str__(self) -> str:
        return f"{self.ticker}: asked too fast, ask again in {self.wait_s:.0f} s ({self.notice})"


class NoData(TransientFeedError):
    def __str__(self) -> str:
        return f"{self.ticker}: expected a daily series, found {self.notice!r}; it is asked again, then try later"


class LateBar(TransientFeedError):
    """The session has closed but its bar is not published yet."""

    wait_s = 900.0

    def __init__(self, ticker: str, session: date, last: date) -> None:
        super().__init__(ticker, f"expected the bar of {session}, the newest published is {last}; ask again later")
        self.args = (ticker, session, last)
        self.session, self.last = session, last


class QuotaSpent(FeedError):
    def __str__(self) -> str:
        return f"{self.ticker}: today's requests are used up ({self.notice}); the next night catches up"


class BadKey(FeedError):
    def __str__(self) -> str:
        return (
            f"{self.ticker}: expected a valid Alpha Vantage key in ALPHAVANTAGE_API_KEY, found {self.notice}; "
            "get a free key at alphavantage.co/support/#api-key"
        )


class PremiumOnly(FeedError):
    def __str__(self) -> str:
        return f"{self.ticker}: {self.notice} needs a premium key; import a CSV with `stockml import` instead"


class UnknownSymbol(FeedError):
    def __str__(self) -> str:
        return f"{self.ticker}: unknown symbol? Alpha Vantage has no series for it ({self.notice}); check the spelling"


class BadPayload(FeedError):
    """The answer has a series, but one that must not be stored."""

    def __str__(self) -> str:
        return f"{self.ticker}: refused the answer, {self.notice}; nothing was stored"


class StoreError(StockmlError):
    """What stands on disk cannot be used."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(path, why)
        self.path, self.why = path, why

    def __str__(self) -> str:
        return f"{self.path}: {self.why}"


class StoreUnreadable(StoreError):
    def __str__(self) -> str:
        return (
            f"{self.path}: expected a readable Parquet file of bars, found {self.why}; it was left as it is: "
            "restore it from a backup, or move it away and import the history again"
        )


class RecordUnreadable(StoreError):
    def __str__(self) -> str:
        return (
            f"{self.path}: expected a readable record, found {self.why}; it was left as it is: "
            "restore it from a backup, or move it away to begin a new one"
        )


class DiskFull(StoreError):
    """There is no room for a file, or the user may write no more."""

    def __str__(self) -> str:
        return f"{self.path}: expected room on the disk, found none ({self.why}); make room, then run this again"


class StoreBusy(StoreError):
    def __str__(self) -> str:
        return f"{self.path}: another process holds this lock ({self.why}); try again when it has finished"


class NoBars(StoreError):
    def __str__(self) -> str:
        return f"{self.path}: {self.why}; fetch with `stockml nightly`, or bring history with `stockml import`"


class HistoryError(StockmlError):
    """Imported history and fetched bars do not fit together."""


class NoOverlap(HistoryError):
    """No session is in both; `missing` are the sessions that would bridge the gap."""

    def __init__(self, ticker: str, missing: tuple[date, ...]) -> None:
        super().__init__(ticker, missing)
        self.ticker, self.missing = ticker, missing

    def __str__(self) -> str:
        named = ", ".join(str(day) for day in self.missing[:5])
        more = f" and {len(self.missing) - 5} more" if len(self.missing) > 5 else ""
        return (
            f"{self.ticker}: expected the imported history to overlap the stored bars, found a gap: "
            f"{named}{more} missing; import a file that covers these sessions"
        )


class UnevenOverlap(HistoryError):
    """The ratio of imported to stored prices is not constant."""

    def __init__(self, ticker: str, session: date, expected_ratio: float, found_ratio: float) -> None:
        super().__init__(ticker, session, expected_ratio, found_ratio)
        self.ticker, self.session = ticker, session
        self.expected_ratio, self.found_ratio = expected_ratio, found_ratio

    def __str__(self) -> str:
        return (
            f"{self.ticker}: expected one constant ratio between imported and stored closes, "
            f"{self.expected_ratio:.4f}, found {self.found_ratio:.4f} on {self.session}; "
            "is it the same company, and one adjustment throughout?"
        )


class ModelError(StockmlError):
    """Training or prediction cannot go on."""


class TooFewBars(ModelError):
    def __init__(self, needed: int, found: int, what: str = "training") -> None:
        super().__init__(needed, found, what)
        self.needed, self.found, self.what = needed, found, what

    def __str__(self) -> str:
        return (
            f"expected at least {self.needed} sessions for {self.what}, found {self.found}: "
            f"{self.needed - self.found} are missing; "
            "bring history with `stockml import`, or with a premium key `stockml history`"
        )


class Diverged(ModelError):
    def __init__(self, epoch: int, loss: float) -> None:
        super().__init__(epoch, loss)
        self.epoch, self.loss = epoch, loss

    def __str__(self) -> str:
        return (
            f"training diverged in epoch {self.epoch}: expected a finite loss, found {self.loss}; "
            "the champion stays, lower the learning rate"
        )


class InvalidForecast(ModelError):
    def __init__(self, ticker: str, why: str) -> None:
        super().__init__(ticker, why)
        self.ticker, self.why = ticker, why

    def __str__(self) -> str:
        return f"{self.ticker}: expected a forecast that can be published, found {self.why}; nothing was published"


class NoChampion(ModelError):
    def __init__(self, ticker: str, why: str) -> None:
        super().__init__(ticker, why)
        self.ticker, self.why = ticker, why

    def __str__(self) -> str:
        return f"{self.ticker}: expected a champion model, found none: {self.why}"


class NoForecast(ModelError):
    def __init__(self, ticker: str) -> None:
        super().__init__(ticker)
        self.ticker = ticker

    def __str__(self) -> str:
        return (
            f"{self.ticker}: expected a published forecast, found none; make one with `stockml nightly {self.ticker}`"
        )


class ServerError(StockmlError):
    """A server that this needs is not there, or cannot start."""


class ServerUnavailable(ServerError):
    def __init__(self, name: str, address: str, advice: str) -> None:
        super().__init__(name, address, advice)
        self.name, self.address, self.advice = name, address, advice

    def __str__(self) -> str:
        return f"expected {self.name} at {self.address}, found no answer; {self.advice}"


class ServerFailed(ServerError):
    """A server did not start, or ended by itself; `code` is None when it was waited for in vain."""

    def __init__(self, name: str, code: int | None, log: str, last_line: str) -> None:
        super().__init__(name, code, log, last_line)
        self.name, self.code, self.log, self.last_line = name, code, log, last_line

    def __str__(self) -> str:
        found = "no answer in time" if self.code is None else f"that it ended with code {self.code}"
        return f"expected {self.name} to run, found {found} ({self.last_line[:160]}); see {self.log}"


class AlreadyUp(ServerError):
    def __init__(self, address: str, record: str) -> None:
        super().__init__(address, record)
        self.address, self.record = address, record

    def __str__(self) -> str:
        return f"expected no running `stockml up` in this home, found one at {self.address}; use it, or stop it first"


class PortTaken(ServerError):
    def __init__(self, name: str, port: int, option: str) -> None:
        super().__init__(name, port, option)
        self.name, self.port, self.option = name, port, option

    def __str__(self) -> str:
        return (
            f"expected port {self.port} to be free for {self.name}, found another program on it; "
            f"stop that program, or choose a port with {self.option}"
        )


class NightBusy(StockmlError):
    def __init__(self, ticker: str, waited_s: float) -> None:
        super().__init__(ticker, waited_s)
        self.ticker, self.waited_s = ticker, waited_s

    def __str__(self) -> str:
        return (
            f"{self.ticker}: another run of this ticker is at work, waited {self.waited_s:.0f} s; "
            "it will do this night's job"
        )


class TrackingUnavailable(StockmlError):
    def __init__(self, address: str, why: str) -> None:
        super().__init__(address, why)
        self.address, self.why = address, why

    def __str__(self) -> str:
        return (
            f"MLflow at {self.address} cannot be reached or written to ({self.why}); "
            "the night's result is kept and logged on the next run"
        )
