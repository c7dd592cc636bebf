"""Commands about servers: both pages and a worker, one of them alone, the replay feed, and the doctor."""

import json
import os
import signal
import socket
import sys
import threading
from datetime import datetime
from functools import partial
from typing import Annotated, Literal, NoReturn

from typer import Argument, Option, Typer

from deployments.cli.options import Json, as_time
from stockml.home import home

app = Typer()
PrefectPort = Annotated[int, Option(min=1, max=65535, envvar="STOCKML_PREFECT_PORT", help="Port of Prefect's page.")]
MlflowPort = Annotated[int, Option(min=1, max=65535, envvar="STOCKML_MLFLOW_PORT", help="Port of MLflow's page.")]
Address = Annotated[str, Option(envvar="STOCKML_ADDRESS", help="One that others can reach needs a password.")]
USED_BY_WORKER = "Used by the worker; default: this machine's, on the port above."


@app.command()
def up(prefect_port: PrefectPort = 4200, mlflow_port: MlflowPort = 5000, address: Address = "127.0.0.1") -> None:
    """Run Prefect, MLflow and a worker here until Ctrl-C."""
    from deployments.servers import stack
    from deployments.servers.access import ADDRESS

    signal.signal(signal.SIGINT, _interrupted)
    signal.signal(signal.SIGTERM, _interrupted)
    environ = os.environ | {ADDRESS: address}
    say = partial(print, flush=True)
    try:
        with stack.up(home(), prefect_port, mlflow_port, environ, say) as children:
            stack.watch(children, say)
    except KeyboardInterrupt:
        print("stopped", flush=True)


@app.command()
def serve(
    part: Annotated[Literal["prefect", "mlflow", "worker"], Argument(metavar="PART", help="The part to run.")],
    prefect_port: PrefectPort = 4200,
    mlflow_port: MlflowPort = 5000,
    prefect_url: Annotated[str, Option(envvar="PREFECT_API_URL", help=USED_BY_WORKER)] = "",
    mlflow_url: Annotated[str, Option(envvar="MLFLOW_TRACKING_URI", help=USED_BY_WORKER)] = "",
    deploy: Annotated[bool, Option(help="Let the worker first update Prefect's deployments.")] = True,
) -> None:
    """Run one part of `stockml up` in the foreground. For containers, and for workers on other machines."""
    from deployments.servers import databases, stack
    from deployments.servers.access import Access, check_port
    from deployments.servers.environment import set_environment
    from deployments.servers.prefect_api import configured_api

    place, access = home(), Access.of(os.environ)
    place.prefect.mkdir(parents=True, exist_ok=True)
    if part == "worker":
        from deployments.cli.tickers import register_all

        prefect_url = prefect_url or f"{access.url(prefect_port)}/api"
        mlflow_url = mlflow_url or access.url(mlflow_port)
        os.environ.update(PREFECT_API_URL=prefect_url, MLFLOW_TRACKING_URI=mlflow_url, **access.as_client())
        set_environment(place)
        configured_api(place, os.environ)
        if deploy:
            print(*register_all(place), sep="\n", flush=True)
        stack.remember_api(place, prefect_url)
        program = stack.worker(os.environ, socket.gethostname(), "--with-healthcheck")
    else:
        name, port = ("Prefect", prefect_port) if part == "prefect" else ("MLflow", mlflow_port)
        check_port(name, port, stack.PORT_OPTIONS[name], access.address)
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        set_environment(place)
        databases.create(place)
        program = stack.prefect(port, os.environ) if part == "prefect" else stack.mlflow(place, port, os.environ)
    os.execve(sys.executable, [sys.executable, "-m", program.module, *program.arguments], dict(program.environ))


def _interrupted(*_: object) -> NoReturn:
    """Stop everything in order on the first Ctrl-C or SIGTERM, and ignore further ones meanwhile."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # with SIG_IGN a second signal already under way is reported as an error
    print("stopping", flush=True)
    raise KeyboardInterrupt


@app.command()
def feed(
    port: Annotated[int, Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8100,
    clock: Annotated[
        datetime | None, Option(parser=as_time, metavar="TIME", help="The feed's time; default: the recording's end.")
    ] = None,
) -> None:
    """Serve recorded prices as Alpha Vantage would. Runs until Ctrl-C."""
    from deployments.replay.feed import Asked, Feed, replay_environment
    from deployments.servers.access import check_port
    from stockml.clock import END_OF_RECORDING

    def show(asked: Asked) -> None:
        print(asked.symbol, asked.function, asked.outputsize, flush=True)

    check_port("the replay feed", port, "--port")
    running = Feed(now=clock or END_OF_RECORDING, port=port, on_request=show)
    signal.signal(signal.SIGTERM, _interrupted)
    with running:
        print(f"replay feed at {running.address}, newest session {running.newest}; Ctrl-C stops it", flush=True)
        settings = " ".join(f"{name}={value}" for name, value in replay_environment(running).items())
        print(f"  {settings} stockml nightly IBM", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("stopped")


@app.command()
def doctor(prefect_port: PrefectPort = 4200, mlflow_port: MlflowPort = 5000, as_json: Json = False) -> int:
    """Check for problems and say how to fix them. Looks at key, quota, servers, clock, ports and stored files.

    Exit code 1 if there is a problem.
    """
    from deployments.doctor.checks import examine
    from stockml import clock

    ports = {"Prefect": prefect_port, "MLflow": mlflow_port}
    checks = []
    for check in examine(home(), os.environ, clock.now(), ports):
        checks.append(check)
        if not as_json:
            print(check, flush=True)
    healthy = all(check.verdict != "problem" for check in checks)
    if as_json:
        print(json.dumps({"healthy": healthy, "checks": [vars(check) for check in checks]}))
    return 0 if healthy else 1
