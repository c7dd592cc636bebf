"""`stockml forecast TICKER --past`: counts, then each figure with its observations; late and
backfilled forecasts apart from live ones."""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from deployments.cli.options import SHOWN_ROWS, json_text
from deployments.registration.ticker_list import ticker_store
from stockml.errors import quantity
from stockml.evaluation.path_scores import LSTM
from stockml.forecasts.forecast import price_text
from stockml.forecasts.ledger import Ledger, LedgerEntry
from stockml.forecasts.ledger_scores import (
    FIGURES,
    MIN_INDEPENDENT,
    TOO_FEW,
    RealisedScores,
    RestatedBar,
    Timing,
    last_closes,
    restated_bars,
    steps_across,
    steps_without_bar,
)
from stockml.home import current_home
from stockml.nights.record import kept_night
from stockml.prices.calendar import Sessions
from stockml.prices.series import PriceSeries

WHEN: dict[Timing, str] = {
    "live": "before the market opened on its first session",
    "late": "after the market had opened on its first session",
    "backfilled": "when the bar of its first session was final",
}
NOT_COUNTED = "*: in no count or figure: another forecast of its session is"


def show(ticker: str, calendar: str | None, *, as_json: bool) -> None:
    """Print how the ticker's forecasts turned out."""
    ledger, store = Ledger(current_home().ledger), ticker_store(current_home(), ticker, calendar)
    entries, sessions = ledger.entries(ticker), store.sessions(ticker)
    series, first_series = (
        PriceSeries.from_bars(view(ticker)) for view in (store.adjusted, store.first_known)
    )
    factors = store.restated_price_factors(ticker)
    today, first_known = (
        ledger.record(ticker, each, sessions, factors) for each in (series, first_series)
    )
    counting = ledger.counting(ticker, sessions)
    restated, across = restated_bars(counting, first_series, series), steps_across(counting, series)
    without_bar = steps_without_bar(counting, series)
    if not as_json:
        steps = ledger.steps(ticker).drop_duplicates("key")
        # as known then
        closes = dict(zip(steps["key"], last_closes(steps, first_series, factors), strict=True))
        shown, counted = (
            sorted(entries, key=lambda each: each.forecast.origin)[-SHOWN_ROWS:],
            set(counting["key"]),
        )
        lines = [
            entry_line(each, sessions, closes[each.key], each.key in counted) for each in shown
        ]
        if any(each.key not in counted for each in shown):
            lines.append(NOT_COUNTED)
        print(record_text(ticker, today, first_known, restated, across, without_bar, lines))
        return
    entry_rows = [{**_plain_entry(entry), "timing": entry.timing(sessions)} for entry in entries]
    apart = {"late": vars(today["late"]), "backfilled": vars(today["backfilled"])}
    bars = [{**vars(bar), "session": bar.session.isoformat()} for bar in restated]
    plain = {"ticker": ticker, "entries": entry_rows, **vars(today["live"]), "apart": apart}
    plain |= {"first_known": vars(first_known["live"]), "restated_bars": bars}
    for name, left_out in {"across_units": across, "without_bar": without_bar}.items():
        plain[name] = {str(day): steps for day, steps in left_out.items()}
    print(json_text(plain))


def record_text(
    ticker: str,
    today: Mapping[Timing, RealisedScores],
    first_known: Mapping[Timing, RealisedScores],
    restated: Sequence[RestatedBar],
    across: Mapping[date, int],
    without_bar: Mapping[date, int],
    entries: Sequence[str],
) -> str:
    """today, first_known: scores against the bars as known now, and as first recorded.

    across, without_bar: steps that are not scored, by the change of units that they span, and by
    the session that has no believed bar.
    """
    live, late, backfilled = today["live"], today["late"], today["backfilled"]
    lines = [
        f"{ticker}: {quantity(live.forecasts, 'live forecast')}, {live.matured} complete, "
        f"{quantity(live.steps, 'step')} came due; apart: {late.forecasts} late, "
        f"{backfilled.forecasts} backfilled"
    ]
    for timing in WHEN:
        lines += _group(timing, today[timing], first_known[timing] if restated else None)
    if live.steps or late.steps or backfilled.steps:
        lines.append(
            f"independent: no two of them cover the same session; below {MIN_INDEPENDENT}, "
            f"{TOO_FEW}"
        )
        lines += _restated(restated)
    lines += [
        f"change of units on {day}: in no figure {quantity(steps, 'step')} across it"
        for day, steps in across.items()
    ]
    shown = list(without_bar.items())[-SHOWN_ROWS:]
    lines += [
        f"no believed bar of {day}: in no figure {quantity(steps, 'step')} to or from it"
        for day, steps in shown
    ]
    return "\n".join([*lines, *entries])


def _group(
    timing: Timing, today: RealisedScores, first_known: RealisedScores | None
) -> Iterator[str]:
    if not today.forecasts:
        return
    yield f"{timing}: each was published {WHEN[timing]}"
    if not today.steps:
        yield "  nothing came due yet"
        return
    columns = (
        [("as restated", today), ("first known", first_known)] if first_known else [("", today)]
    )
    heads = "".join(f"{head:>15}" for head, _ in columns)
    yield f"  {'':<20}{heads}{'observations':>14}{'independent':>13}"
    for name in FIGURES:
        values = "".join(f"{_value(name, scores):>15}" for _, scores in columns)
        observed, independent = today.observations(name)
        few = f"  {TOO_FEW}" if observed and independent < MIN_INDEPENDENT else ""
        yield f"  {name.replace('_', ' '):<20}{values}{observed:>14,}{independent:>13,}{few}"


def _value(name: str, scores: RealisedScores) -> str:
    value: float | None = getattr(scores, name)
    if value is None:
        return "not known yet"
    return f"{value:+.3f}" if name == "skill" else f"{value:.3f}"


def _restated(bars: Sequence[RestatedBar]) -> Iterator[str]:
    if not bars:
        yield "restated: no bar that these figures lean on was changed after it was first recorded"
        return
    yield (
        f"restated: {quantity(len(bars), 'bar')} changed after being first recorded; the figures "
        "differ"
    )
    for bar in bars[-SHOWN_ROWS:]:
        # cents count here
        prices = (f"{x:,.2f}" if x >= 1 else price_text(x) for x in (bar.first_known, bar.restated))
        change = f"{' → '.join(prices)} ({bar.restated / bar.first_known - 1:+.2%})"
        yield f"  {bar.session}  {bar.price} {change}, in {quantity(bar.steps, 'step')}"


def entry_line(entry: LedgerEntry, sessions: Sessions, close: float, counts: bool) -> str:
    """close: the origin's, where the path begins; NaN without a bar: the ledger keeps only the
    price forecast."""
    end = entry.forecast
    start = (
        f"{end.price} {price_text(end.last_value)}"
        if math.isnan(close)
        else f"close {price_text(close)}"
    )
    path = f"{end.origin}  {start} → {price_text(end.path[-1])} on {end.sessions[-1]}"
    return f"  {path}  {entry.timing(sessions):<10}  {entry.key[:16]}{'' if counts else '*'}"


def _plain_entry(entry: LedgerEntry) -> dict[str, Any]:
    """The entry as JSON values; its run comes from the night's record, as the ledger is written
    before MLflow's run."""
    forecast, night = entry.forecast, kept_night(current_home().nights, entry.ticker, entry.key)
    run_id, version = entry.run_id, entry.model_version
    if night and run_id is None:
        run_id, version = (
            night.mlflow_run_id,
            night.model_version if night.publisher == LSTM else None,
        )
    return {
        "key": entry.key,
        "session": forecast.origin.isoformat(),
        "published_at": entry.published_at.isoformat(),
        "last_value": forecast.last_value,
        "end": forecast.path[-1],
        "due": forecast.sessions[-1].isoformat(),
        "weights": list(forecast.weights),
        "probability_of_rise": forecast.probability_of_rise,
        "mlflow_run_id": run_id,
        "model_version": version,
    }
