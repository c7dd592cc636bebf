"""Whether a night looked ahead, for anyone to see: it is replayed on two futures, and what it left is compared."""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from deployments.cli.nights import Settings
from deployments.cli.options import Calendar, Json, Session, Ticker, as_settings
from stockml.home import home
from stockml.settings import Profile

if TYPE_CHECKING:
    from stockml.pipeline.audit import Audit

app = typer.Typer()


@app.command()
def audit(
    ticker: Ticker,
    session: Session = None,
    profile: Profile = "nightly",
    settings: Settings = None,
    calendar: Calendar = None,
    as_json: Json = False,
) -> int:
    """Replay a night on two different futures, and name whatever is not the same; exit code 1 where something is.

    Takes the newest session without one. Needs no server, and leaves nothing behind.
    """
    from deployments.cli.progress import quiet_libraries
    from deployments.cli.runs import NOISE
    from flows.form import chosen
    from stockml import clock
    from stockml.pipeline.audit import audit as replay
    from stockml.prices.store import bar_store

    place = home()
    wanted = chosen(profile, "auto", as_settings(settings or []), ticker=ticker)
    day = session or bar_store(place, ticker, calendar).adjusted(ticker).index[-1].date()
    with tempfile.TemporaryDirectory() as folder, quiet_libraries(place.root / NOISE) as terminal:
        found = replay(
            place, ticker, day, wanted, calendar, folder=Path(folder), now=clock.now(),
            say=lambda line: None if as_json else print(f"  {line}", file=terminal, flush=True),
        )  # fmt: skip
    print(json.dumps(_plain(found)) if as_json else _text(found))
    return int(not found.clean)


def _text(found: "Audit") -> str:
    from stockml.pipeline.audit import LATER

    came = f"{found.later} later sessions as they came" if found.later else "no later session"
    lines = [f"{found.ticker} {found.session}: the night on two futures, {came} and {LATER} others with a split"]
    for name, part in found.parts.items():
        said = f"{len(part.differences)} differ" if part.differences else "the same"
        lines.append(f"  {name:<24}{part.values:>10,} values   {said}")
        lines += [f"    {difference}" for difference in part.differences[:20]]
    clean = f"nothing that was computed after the close of {found.session} depends on a later bar"
    return "\n".join([*lines, clean if found.clean else "what differs has looked ahead: please report it"])


def _plain(found: "Audit") -> dict[str, object]:
    parts = {name: asdict(part) for name, part in found.parts.items()}
    return {"ticker": found.ticker, "session": str(found.session), "clean": found.clean, "parts": parts}
