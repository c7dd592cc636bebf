"""A night's plots as files: a night draws those of its page, this the others."""

import json
from dataclasses import replace

import typer

from deployments.cli.options import Json, Session, Ticker
from deployments.servers.environment import mlflow_address
from stockml.errors import InvalidFile, TrackingUnavailable
from stockml.home import home

app = typer.Typer()


@app.command()
def plots(ticker: Ticker, session: Session = None, as_json: Json = False) -> None:
    """Draw every plot of the newest night, or of a session's, and give them to its run in MLflow."""
    from stockml.nights.record import kept_nights
    from stockml.pipeline.plots import draw_rest
    from stockml.tracking.client import Tracking

    place = home()
    found = [night for night in kept_nights(place.nights, ticker) if session in (None, night.session)]
    if not found:
        asked = f"of {session}" if session else "that was completed"
        folder = str(place.nights / ticker)
        raise InvalidFile(folder, f"expected a night {asked}, found none; `stockml nightly {ticker}` runs one")
    night = found[-1]
    draw_rest(place, night)
    tracking = replace(Tracking.of(place), uri=mlflow_address(place))
    try:
        tracking.log_plots(night)
    except TrackingUnavailable as error:
        typer.echo(f"not in MLflow: {error}", err=True)
    if as_json:
        print(json.dumps({"folder": night.plots_folder, "plots": night.figures}))
        return
    print(f"{night.run_name}: {len(night.figures)} plots in {night.plots_folder}")
    print("\n".join(f"  {name}.png" for name in night.figures))
