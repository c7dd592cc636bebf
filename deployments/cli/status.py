"""The morning: every ticker in a row. Needs no server, and asks one that is up when the next runs are due."""

import json
import os
from datetime import datetime

import typer

from deployments.cli.options import Json, Tickers
from deployments.servers.prefect_api import prefect_api, running_server
from stockml.home import Home, home

app = typer.Typer()


@app.command()
def status(tickers: Tickers = None, as_json: Json = False) -> None:
    """Show what each ticker's newest night published, and when the next is due."""
    from deployments.registration.own_list import tickers_of
    from stockml import clock
    from stockml.nights.status import known_tickers, rows, share_sentence, text

    place = home()
    entries = {entry.ticker: entry.calendar for entry in tickers_of(place).tickers}
    due = _next_runs(place)
    wanted = tickers or {*entries, *known_tickers(place), *(due or {})}
    listed = rows(place, wanted, clock.now(), due, entries)
    if as_json:
        print(json.dumps({"said": share_sentence(listed), "tickers": [row.plain() for row in listed]}))
        return
    print(text(listed))
    if due is None:
        print(f"No server is up in {place.root}, so no run is due: `make up` starts one")


def _next_runs(place: Home) -> dict[str, datetime] | None:
    """By ticker, from the server that is set or up; None where none is."""
    if not (os.environ.get("PREFECT_API_URL") or running_server(place)):
        return None
    with prefect_api(place):
        from prefect.client.orchestration import get_client

        from tasks.status_page import next_runs

        with get_client(sync_client=True) as client:
            return next_runs(client)
