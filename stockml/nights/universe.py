"""Many nights side by side: one row each, as a table and as CSV, and one line on how all ended;
and what the network is worth live."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from textwrap import fill
from typing import Any, Literal

import numpy as np
import pandas as pd

from stockml.errors import NoBars, StoreError, quantity
from stockml.evaluation.live_gain import LiveGain, live_gains, live_losses
from stockml.evaluation.path_scores import LAST_CLOSE, PUBLISHED
from stockml.forecasts.forecast import price_text
from stockml.forecasts.ledger import Ledger
from stockml.forecasts.ledger_scores import scored_steps
from stockml.forecasts.proper_scores import is_clear, p_text
from stockml.home import HomePaths
from stockml.models.vintage_store import SHIPPED
from stockml.nights import states
from stockml.nights.key_figures import KeyFigures, is_untested, newest, store_of
from stockml.nights.record import Night, Status, kept_night
from stockml.nights.status import FEW
from stockml.nights.tables import aligned, grouped_line
from stockml.prices.series import PriceSeries
from stockml.settings import FailWhen
from stockml.storage.files import write_atomically

COLUMNS = (
    "ticker",
    "session",
    "outcome",
    "mode",
    "skill",
    "adds",
    "now",
    "forecast",
    "rise",
    "rose",
)
NO_MARKDOWN = re.compile(r"<|](?=\()")  # HTML, a link or an image; a space behind these ends it
PERCENT, ADDS = "{:.0%}".format, "{:+z.2%}".format
CELLS = ("{:+.3f}".format, ADDS, price_text, price_text, PERCENT, PERCENT)  # of figures
PAGE_CELLS = {
    "change": "{:+z.1%}".format,
    "rise": PERCENT,
    "rose": PERCENT,
    "network_adds": ADDS,
    "noise_p": p_text,
}
LEGEND = (
    "skill: of the published path over the last close; adds: CRPS saved by the network, ~: "
    f"could be luck; {FEW}: fewer origins than a test needs; rise: the probability of a rise, "
    "rose: how often the price rose"
)
PAGE_LEGEND = (
    "Change: from the last close to the forecast's end; Rise: the probability of a rise, Rose: "
    "how often the price rose; Network adds: CRPS saved by the network; p: how likely as much is "
    f"by luck; {FEW}: fewer origins than a test needs"
)


@dataclass(frozen=True)
class NightRow:
    """One night; missing values are None. A skill always comes with the two errors that it
    compares.

    mse, naive_mse: of the published path and of the last close, on the same origins; skill is 1 −
    their ratio. network_adds: CRPS skill over the same procedure without the network; noise_p: its
    p-value. crps_skill: of the whole published distribution, over the regression's.  now, forecast:
    prices, the last close and the published path's end; change: their ratio − 1.  rise: probability
    that the price is higher at the direction's lead; rose: how often it was, over the test part's
    origins.  seconds: wall time of the night.
    """

    ticker: str
    session: date | None
    status: Status | Literal["failed"]
    outcome: str
    mode: str | None = None
    skill: float | None = None
    mse: float | None = None
    naive_mse: float | None = None
    network_adds: float | None = None
    noise_p: float | None = None
    crps_skill: float | None = None
    promoted: bool | None = None
    now: float | None = None
    forecast: float | None = None
    change: float | None = None
    rise: float | None = None
    rose: float | None = None
    bars_added: int | None = None
    seconds: float | None = None
    why: str = ""

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.ticker, self.outcome.lower(), self.why)))

    @classmethod
    def of_night(cls, night: Night, outcome: str) -> "NightRow":
        """The row of a night that ended in the state `outcome`, such as Completed or No session."""
        model, naive = night.score(PUBLISHED), night.score(LAST_CLOSE) or night.score("last value")
        path, figures = night.forecast, KeyFigures.of(night)
        row = cls(
            ticker=night.ticker,
            session=night.session,
            status=night.status,
            outcome=outcome,
            mode=night.mode or None,
            skill=figures.published_skill,
            mse=model.mse if model else None,
            naive_mse=naive.mse if naive else None,
            network_adds=figures.network_adds,
            noise_p=figures.network_adds_p,
            crps_skill=figures.crps_skill,
            promoted=figures.promoted,
            now=path.now if path else None,
            forecast=path.path[-1] if path else None,
            change=path.path[-1] / path.now - 1 if path else None,
            rise=path.probability_of_rise if path and not night.stands_still else None,
            rose=model.direction.base_rate if model else None,
            bars_added=night.rows_added if night.status == "completed" else None,
            seconds=round(night.seconds, 1),
            why=night.reason,
        )
        # more digits than are shown
        short: dict[str, Any] = {
            name: float(f"{x:.8g}") for name, x in vars(row).items() if isinstance(x, float)
        }
        return replace(row, **short)


def records(rows: Sequence[NightRow]) -> list[dict[str, Any]]:
    """The rows as plain values: failed ones first, then skipped, then completed, each by ticker and
    session."""
    order = {"failed": 0, "skipped": 1, "completed": 2}
    ordered = sorted(rows, key=lambda row: (order[row.status], row.ticker, row.session or date.min))
    return [asdict(row) | {"session": row.session and row.session.isoformat()} for row in ordered]


def text(rows: Sequence[NightRow]) -> str:
    """The rows by ticker, for the terminal: gains within the noise marked, chances beside their
    base rate."""
    cells: list[Sequence[str]] = [COLUMNS]
    for row in sorted(rows, key=lambda row: row.ticker):  # nights of many tickers end in any order
        values = (row.skill, row.network_adds, row.now, row.forecast, row.rise, row.rose)
        figures = [
            "-" if value is None else cell(value) for value, cell in zip(values, CELLS, strict=True)
        ]
        if is_untested((row.network_adds, row.noise_p)):
            figures[:2] = FEW, FEW
        elif row.network_adds is not None and not is_clear(row.noise_p):
            figures[1] += " ~"
        cells.append((row.ticker, str(row.session or ""), row.outcome, row.mode or "", *figures))
    lines = aligned(cells, "<" * (len(COLUMNS) - len(CELLS)) + ">" * len(CELLS), gap=" ")
    return "\n".join([*lines, fill(LEGEND, len(lines[0]))])


def table(rows: Sequence[NightRow]) -> list[dict[str, Any]]:
    """The rows for a page 1,280 pixels wide, which does not sort them; reasons come last, if any
    night failed."""
    headings = {"ticker": "Ticker", "session": "Session", "outcome": "Outcome", "change": "Change"}
    headings |= {"rise": "Rise", "rose": "Rose", "network_adds": "Network adds", "noise_p": "p"}
    if any(row.status == "failed" for row in rows):
        headings["why"] = "Why"

    def cell(key: str, record: dict[str, Any]) -> Any:
        value = record[key]
        if key == "network_adds" and is_untested((value, record["noise_p"])):
            return FEW
        if key == "why":  # Prefect's V1 page takes it for Markdown, the other one does not
            return NO_MARKDOWN.sub(r"\g<0> ", value)
        return ("–" if value is None else PAGE_CELLS[key](value)) if key in PAGE_CELLS else value

    return [{name: cell(key, record) for key, name in headings.items()} for record in records(rows)]


def write_csv(home: HomePaths, rows: Sequence[NightRow]) -> Path:
    """Write `universe/SESSION.csv`, named after the newest session; a rerun replaces its tickers.
    Returns its path."""
    frame = pd.DataFrame(records(rows), columns=[*NightRow.__dataclass_fields__], dtype=object)
    newest = max((row.session for row in rows if row.session), default=None)
    path = home.universe / f"{newest or 'none'}.csv"
    if path.exists():
        earlier = pd.read_csv(path, dtype=object, keep_default_na=False)
        frame = pd.concat([frame, earlier[~earlier["ticker"].isin(frame["ticker"])]])
    write_atomically(path, frame.to_csv(index=False).encode())
    return path


def ending(rows: Sequence[NightRow], fail_when: FailWhen) -> tuple[str, str]:
    """The state in which the run of all nights ends, and one line: counts, and who failed and why.

    All failed → Failed; some → Completed with failures, or as `fail_when` says; all skipped →
    Skipped.
    """
    counts: Counter[str] = Counter(row.status for row in rows)
    line = ", ".join(
        f"{counts[status]} {status}"
        for status in ("completed", "skipped", "failed")
        if counts[status]
    )
    if failed := [row for row in rows if row.status == "failed"]:
        reasons = [(f"{row.ticker} {row.session or ''}".strip(), row.why) for row in failed]
        line += f". Failed: {grouped_line(reasons, '{names}: {why}')}"
        if fail_when == "any fails" or (fail_when == "all fail" and len(failed) == len(rows)):
            return "Failed", line
        return states.WITH_FAILURES, line
    if counts["skipped"] == len(rows):
        outcomes = {row.outcome for row in rows}
        return outcomes.pop() if len(outcomes) == 1 else states.SKIPPED, line or "nothing to do"
    return "Completed", line


def live_verdict(home: HomePaths, tickers: Iterable[str]) -> str:
    """The live gain at leads 1, 5 and 20, each with its p-value, and the mean of the backtests'.

    A ticker without bars, or whose files cannot be read, is left out.
    """
    losses, nights = [], list[Night]()
    for ticker in tickers:
        with suppress(StoreError, NoBars):
            store = store_of(home, ticker)
            series = PriceSeries.from_bars(store.adjusted(ticker))
            counting = Ledger(home.ledger).counting(ticker, store.sessions(ticker))
            scored = scored_steps(counting, series, store.restated_price_factors(ticker))
            losses.append(live_losses(series, scored, (home.pretrained, SHIPPED)))
            if (figures := newest(home.nights, ticker)) and (
                night := kept_night(home.nights, ticker, figures.key)
            ):
                nights.append(night)
    return _worded(live_gains(losses), _backtests(nights))


def _backtests(nights: Iterable[Night]) -> dict[int, float]:
    """By lead, the mean over nights of what the network added on the test part."""
    by_lead = dict[int, list[float]]()
    for night in nights:
        if night.distributions and night.network_adds:
            for lead, gain in zip(
                night.distributions.leads, night.network_adds.skill_by_lead, strict=True
            ):
                by_lead.setdefault(lead, []).append(gain)
    return {lead: float(np.mean(gains)) for lead, gains in by_lead.items()}


def _worded(gains: Iterable[LiveGain], backtests: dict[int, float]) -> str:
    parts = []
    for each in gains:
        p = f"p {p_text(each.test.p_value)}" if each.test else "too few months to test"
        backtest = f", {backtests[each.lead]:+z.1%} in backtests" if each.lead in backtests else ""
        parts.append(
            f"after {quantity(each.lead, 'session')} {each.gain:+z.1%} ({p}; "
            f"{quantity(each.forecasts, 'forecast')} of "
            f"{quantity(each.tickers, 'share')}{backtest})"
        )
    if not parts:
        return "Live: no network's forecast has come due yet."
    return f"Live, what the network saves of a regression's loss: {'; '.join(parts)}."
