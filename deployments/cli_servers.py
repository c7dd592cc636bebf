"""Commands about servers: the replay feed, both pages, deployments, and a look at what could be wrong."""

from datetime import datetime
from typing import Annotated

import typer

from deployments.cli_options import as_time

app = typer.Typer()


@app.command()
def feed(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one")] = 8100,
    clock: Annotated[
        datetime | None,
        typer.Option(parser=as_time, metavar="TIME", help="the feed's clock; the recording's end without it"),
    ] = None,
    premium: Annotated[bool, typer.Option("--premium", help="let every key ask for the full series")] = False,
) -> None:
    """Serve recorded prices as Alpha Vantage would, until Ctrl-C."""
    import threading

    from deployments.feed import END_OF_RECORDING, Asked, Feed
    from stockml.errors import PortTaken

    def show(asked: Asked) -> None:
        print(asked.symbol, asked.function, asked.outputsize, flush=True)

    try:
        running = Feed(now=clock or END_OF_RECORDING, port=port, premium=premium, on_request=show)
    except OSError as error:
        raise PortTaken("the replay feed", port, "--port") from error
    with running:
        print(f"replay feed at {running.address}, newest session {running.newest}; Ctrl-C stops it", flush=True)
        print(f"  ALPHAVANTAGE_URL={running.address} ALPHAVANTAGE_API_KEY=replay stockml nightly IBM ...", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("stopped")
