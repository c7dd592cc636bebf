"""A night replayed on two futures: everything computed as of its close must be the same on both.

Two homes get copies of the ticker's store; in the second, all later sessions have other prices, and there is a split.
The night's own steps run twice in each, for the session before and for the audited one, so that there is a champion to
continue, a gate to pass and a forecast to score. What the audited nights left is then compared, value by value, and so
are windows and simple forecasts, computed on the series with each future appended.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from stockml.errors import InvalidSession
from stockml.evaluation.assessment import read_assessment
from stockml.evaluation.distribution_table import vintage_rows
from stockml.features.width_inputs import width_inputs
from stockml.home import HomePaths
from stockml.home import current_home as home_of
from stockml.models.baselines import baseline_paths
from stockml.models.vintage_set import VintageSet
from stockml.pipeline.dataset import renormalise
from stockml.pipeline.decide import decide_mode
from stockml.pipeline.evaluate import evaluate_night
from stockml.pipeline.ingest import as_stored
from stockml.pipeline.night_key import night_key
from stockml.pipeline.promote import promote
from stockml.pipeline.publish import publish
from stockml.pipeline.train import train_night
from stockml.prices.bars import Split
from stockml.prices.revisions import BAR_SCHEMA, batches
from stockml.prices.series import PriceSeries
from stockml.prices.store import SCHEMAS, BarStore
from stockml.settings import Settings
from stockml.storage.differences import Compared, compare
from stockml.storage.objects import Objects
from stockml.storage.parquet_files import Table

FUTURE_SESSIONS = 60  # sessions of the other future
ORIGINS = 20  # the newest, for windows and simple rows


@dataclass(frozen=True)
class Audit:
    """What differs, by part.  later: real sessions in the first future; the second has FUTURE_SESSIONS others."""

    ticker: str
    session: date
    later: int
    parts: dict[str, Compared]

    @property
    def clean(self) -> bool:
        return not any(part.differences for part in self.parts.values())


NightRunner = Callable[[HomePaths, str, date, Settings, str | None], dict[str, Path]]
"""(home, ticker, session, settings, calendar) → for each part, the file or folder that holds what was computed."""


def audit(
    home: HomePaths,
    ticker: str,
    session: date,
    settings: Settings,
    calendar: str | None,
    *,
    folder: Path,
    now: datetime,
    say: Callable[[str], None] = lambda _: None,
    night: NightRunner | None = None,
) -> Audit:
    """Replay the session's night in two homes below `folder`, and compare.  now: with its zone.

    Raises NoBars, TooFewBars, and InvalidSession for a day that the series lacks, or its first.
    """
    store, run = BarStore.of(home, calendar), night or run_night
    days = store.adjusted(ticker).index.date
    if session not in days[1:]:
        why = f"{ticker} has no believed bar of it, or none before it"
        raise InvalidSession(str(session), why, "a session with a bar")
    previous = days[list(days).index(session) - 1]
    results: list[dict[str, Path]] = []
    for number, name in enumerate(("as it came", "another")):
        copy = _copy_home(home, store, ticker, folder / str(number + 1))
        if number:
            _altered_future(BarStore.of(copy, calendar), ticker, session, now)
        for day in (previous, session):
            say(f"{ticker} {day}, future {number + 1} of 2: {name}")
            files = run(copy, ticker, day, settings, calendar)
        rows = _rows(BarStore.of(copy, calendar), ticker, session, copy.root)
        results.append({**files, "windows and simple rows": rows})  # of the audited session alone
    one, two = results
    parts = {part: compare(one[part], two[part]) for part in one}
    return Audit(ticker, session, int((days > session).sum()), parts)


def run_night(home: HomePaths, ticker: str, session: date, settings: Settings, calendar: str | None) -> dict[str, Path]:
    """Run the night from the store to the ledger and promotion, as the flow does, without MLflow."""
    now = datetime.combine(session, time(23, 30), UTC)
    dataset = renormalise(home, as_stored(home, ticker, session), calendar=calendar)
    decision = decide_mode(home, dataset, settings)
    model = train_night(home, dataset, decision, settings)
    upcoming = BarStore.of(home, calendar).sessions(ticker).after(session, settings.evaluation.horizon)
    evaluation = evaluate_night(home, dataset, decision, model, settings.evaluation, upcoming=upcoming)
    key = night_key(dataset, settings)
    ledger = publish(home, evaluation, key, now=now)
    promotion = promote(home, model, key, None, read_assessment(Path(evaluation.path)).verdict, at=now)
    return {
        "series": Path(dataset.path),
        "decision": masked_home_path(home, Path(decision.path)),
        "weights": Path(model.path),
        "predictions and metrics": Path(evaluation.path),
        "gate": masked_home_path(home, Path(promotion.path)),
        "ledger": Path(ledger.path),
    }


def masked_home_path(home: HomePaths, file: Path) -> Path:
    """A copy with the home's path replaced by HOME, so that the two homes' files can be equal."""
    copy = home.root / "audited" / file.name
    copy.parent.mkdir(parents=True, exist_ok=True)
    text = file.read_text() if file.exists() else ""  # no history before the first promotion
    copy.write_text(text.replace(str(home.root), "HOME"))
    return copy


def _copy_home(home: HomePaths, store: BarStore, ticker: str, root: Path) -> HomePaths:
    """A home with the tuned settings and base networks of `home`, the ticker's bars, and what adjusts them."""
    copy = home_of({"STOCKML_HOME": str(root)})
    for source, target in ((home.settings, copy.settings), (home.bases, copy.bases)):
        if source.is_dir():
            shutil.copytree(source, target)
    objects, names = Objects(store.root), [f"{folder}{ticker}.parquet" for folder in SCHEMAS]
    contents = {name: objects.read(name).content for name in names}
    Objects(copy.store).put({name: content for name, content in contents.items() if content is not None})
    return copy


def _altered_future(store: BarStore, ticker: str, session: date, now: datetime) -> None:
    """Give every later session other bars, as fetched or, where nothing was fetched, as an import; and add a split."""
    sessions = store.sessions(ticker)
    for table in ("", "history/"):  # an import's later bars would contradict the others
        store.files.update(f"{table}{ticker}.parquet", ticker, BAR_SCHEMA, partial(_cut, session))
    days = sessions.after(session, FUTURE_SESSIONS)
    last = store.adjusted(ticker, until=session).iloc[-1]
    steps = np.random.default_rng(7).normal(0.004, 0.03, FUTURE_SESSIONS)
    close = float(last["close"]) * np.exp(np.cumsum(steps))
    prices = {"open": close * 0.99, "high": close * 1.03, "low": close * 0.97, "close": close}
    index = pd.DatetimeIndex(pd.to_datetime(list(days)), name="session")
    bars = pd.DataFrame(prices, index=index).assign(volume=3 * last["volume"] + 1)
    recorded_at = max(now, sessions.final_time(days[-1])) + timedelta(days=1)
    if store.rows(ticker):
        store.append(ticker, bars, recorded_at=recorded_at, source="audit", session=days[-1])
    else:
        imports = batches(store.files.read(f"history/{ticker}.parquet", ticker, BAR_SCHEMA), None)
        newest = sorted(imports, key=lambda part: part.index[-1])[-1]
        store.record_import(ticker, pd.concat([newest, bars]), recorded_at=recorded_at, source="audit")
    store.record_splits(ticker, [Split(days[FUTURE_SESSIONS // 2], 2.0)], recorded_at=recorded_at, source="audit")


def _cut(session: date, table: Table) -> tuple[Table | None, None]:
    """The rows of sessions up to this one; None if the table has no others."""
    rows = table.filter(pc.field("session") <= session)
    return (rows if len(rows) < len(table) else None), None


def _rows(store: BarStore, ticker: str, session: date, root: Path) -> Path:
    """Write windows, baselines and simple distributions at the newest origins, of the series with its future."""
    past, full = store.adjusted(ticker, until=session), store.adjusted(ticker)
    series = PriceSeries.from_bars(pd.concat([past, full.loc[full.index > past.index[-1]]]))
    last = int((series.sessions <= np.datetime64(session)).sum()) - 1
    origins, leads = np.arange(max(last - ORIGINS + 1, 0), last + 1), np.array([1, 5, 10, 20, 50])
    arrays = {"inputs of the network": width_inputs(series)[: last + 1]}
    arrays |= {f"path of {name}": path for name, path in baseline_paths(series.close, origins, int(leads[-1])).items()}
    vintages = VintageSet.ending_before(series.sessions[origins[0]].item())
    rows, _ = vintage_rows(series, origins, leads, vintages)
    arrays |= {f"quantiles of {name}": quantiles for name, quantiles in rows.items()}
    path = root / "audited" / "rows.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path
