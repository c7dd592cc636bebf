"""Commands that operate a home: its servers, worker and feed, the doctor, the clean-up, backups, and MLflow's runs."""

import json
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

from typer import Argument, Option, Typer

from deployments.cli.options import Json, as_days, as_time
from deployments.cli.runs import result_of
from deployments.servers.databases import create, vacuum
from deployments.servers.prefect_api import OWN_SERVER, configured_api, prefect_api
from stockml.errors import InvalidFile, quantity
from stockml.home import OLD_PLACE, current_home
from stockml.provider.price_source import replay_home
from stockml.redaction import one_line

if TYPE_CHECKING:
    from stockml.maintenance.backup import Archived

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
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as `nohup` leaves it
        signal.signal(signal.SIGHUP, _interrupted)
    environ = os.environ | {ADDRESS: address}
    with suppress(KeyboardInterrupt), stack.up(current_home(), prefect_port, mlflow_port, environ, _say) as children:
        stack.watch(children, _say)
    _say("stopped")


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
    from deployments.servers import stack
    from deployments.servers.access import Access, check_port
    from deployments.servers.environment import set_environment

    home, access = current_home(), Access.of(os.environ)
    home.prefect.mkdir(parents=True, exist_ok=True)
    if part == "worker":
        from deployments.cli.tickers import register_all

        prefect_url = prefect_url or f"{access.url(prefect_port)}/api"
        mlflow_url = mlflow_url or access.url(mlflow_port)
        os.environ.update(PREFECT_API_URL=prefect_url, MLFLOW_TRACKING_URI=mlflow_url, **access.as_client())
        set_environment(home)
        configured_api(home, os.environ)
        if deploy:
            print(*register_all(home), sep="\n", flush=True)
        stack.write_api_address(home, prefect_url)
        program = stack.worker(os.environ, socket.gethostname(), "--with-healthcheck")
    else:
        name, port = ("Prefect", prefect_port) if part == "prefect" else ("MLflow", mlflow_port)
        check_port(name, port, stack.PORT_OPTIONS[name], access.address)
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        set_environment(home)
        create(home)
        program = stack.prefect(port, os.environ) if part == "prefect" else stack.mlflow(home, port, os.environ)
    os.execve(sys.executable, [sys.executable, "-m", program.module, *program.arguments], dict(program.environ))


def _interrupted(*_: object) -> NoReturn:
    """Stop everything in order on the first Ctrl-C, SIGTERM or closing of the terminal; ignore further ones."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # with SIG_IGN a second signal already under way is reported as an error
    with suppress(OSError):
        os.write(1, b"stopping\n")  # `print` may be the one that is interrupted
    raise KeyboardInterrupt


def _say(*words: object) -> None:
    """Print a line; servers outlast their terminal, and a full disk below their output."""
    with suppress(OSError):
        print(*words, flush=True)


@app.command()
def feed(
    port: Annotated[int, Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8100,
    clock: Annotated[
        datetime | None, Option(parser=as_time, metavar="TIME", help="The feed's time; default: the recording's end.")
    ] = None,
) -> None:
    """Serve recorded prices as Alpha Vantage would. Runs until Ctrl-C."""
    from deployments.replay.feed import Feed, replay_environment
    from deployments.servers.access import check_port
    from stockml.clock import END_OF_RECORDING

    check_port("the replay feed", port, "--port")
    running = Feed(
        now=clock or END_OF_RECORDING,
        port=port,
        on_request=lambda request: _say(request.symbol, request.function, request.outputsize),
    )
    signal.signal(signal.SIGTERM, _interrupted)
    with suppress(KeyboardInterrupt), running:
        _say(f"replay feed at {running.address}, newest session {running.newest}; Ctrl-C stops it")
        settings = " ".join(f"{name}={value}" for name, value in replay_environment(running).items())
        _say(f"  {settings} stockml nightly IBM")
        threading.Event().wait()
    _say("stopped")


@app.command()
def doctor(prefect_port: PrefectPort = 4200, mlflow_port: MlflowPort = 5000, as_json: Json = False) -> int:
    """Check for problems and say how to fix them. Looks at key, quota, servers, clock, ports and stored files.

    Exit code 1 if there is a problem.
    """
    from deployments.doctor.checks import examine
    from stockml import clock

    ports = {"Prefect": prefect_port, "MLflow": mlflow_port}
    checks = []
    for check in examine(current_home(), os.environ, clock.now(), ports):
        checks.append(check)
        if not as_json:
            print(check, flush=True)
    healthy = all(check.verdict != "problem" for check in checks)
    if as_json:
        print(json.dumps({"healthy": healthy, "checks": [vars(check) for check in checks]}))
    return 0 if healthy else 1


@app.command("maintenance")
def clear_up(
    dry_run: Annotated[bool, Option("--dry-run", help="Only list what would be removed.")] = False,
    keep: Annotated[list[str] | None, Option(metavar="NAME=NUMBER", help="Such as model_days=30; repeatable.")] = None,
    as_json: Json = False,
) -> int:
    """End dead runs, resume waiting ones, remove old data.

    Never removes a champion, the ledger, the store, or a night that MLflow lacks.
    """
    days = as_days(keep)
    with prefect_api(current_home()):
        from flows.maintenance import maintenance

        steps = result_of(maintenance, dry_run=dry_run, keep=days, quiet=as_json or dry_run)
        if OWN_SERVER in os.environ and not dry_run:
            vacuum()
    from stockml.maintenance.report import size_text, summary

    if as_json:
        plain = [vars(step) for step in steps]
        print(json.dumps({"dry_run": dry_run, "message": summary(steps), "steps": plain}, default=list))
    else:
        for step in steps:
            size = "" if step.size is None else f", {size_text(step.size)}"
            result = f"not done: {step.failed}" if step.failed else f"{quantity(step.count, 'thing')}{size}"
            print(f"{step.name:<28} {result}")
            for thing in step.things:
                print(f"  {thing}")
        print(f"{'would go' if dry_run else 'done'}: {summary(steps)}")
    return int(bool(steps) and all(step.failed for step in steps))


@app.command()
def backup(
    file: Annotated[Path, Argument(metavar="FILE", help="The zip archive to create.")], as_json: Json = False
) -> int:
    """Archive all that cannot be recomputed. Bars, ledger, champions, settings and night records; nights may run on.

    Exit code 1 if one of these files is damaged or missing.
    """
    from deployments.registration.ticker_list import tickers_of
    from stockml.maintenance.backup import back_up

    archived = back_up(current_home(), file, datetime.now(UTC))
    try:
        tickers_of(current_home())
    except InvalidFile as fault:
        archived = replace(archived, damaged=(*archived.damaged, str(fault)))
    return _print_archived(file, archived, "archived in", as_json)


@app.command("restore")
def restore_home(
    file: Annotated[Path, Argument(metavar="FILE", help="An archive made by `stockml backup`.")],
    only: Annotated[str | None, Option(metavar="NAME", help="Only this one, such as ledger/IBM.parquet.")] = None,
    as_json: Json = False,
) -> int:
    """Restore an archive into an empty home. All or nothing.

    Then run `stockml deploy`. A replay backup goes to `replay/` in the default home.
    """
    from stockml.maintenance.backup import holds_replay, restore

    home = current_home()
    if home.root.name == OLD_PLACE and holds_replay(file):  # not named: the default home is for market prices
        home = replay_home(os.environ)
    return _print_archived(file, restore(home, file, only), f"brought to {home.root} from", as_json)


def _print_archived(file: Path, archived: "Archived", verb: str, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"file": str(file), **vars(archived)}))
    else:
        print(f"{quantity(archived.files, 'file')} {verb} {file} ({archived.size / 1e6:.1f} MB)")
        for fault in archived.damaged:
            print(f"stockml: damaged or missing, also in the archive: {one_line(fault)}", file=sys.stderr)
    return 1 if archived.damaged else 0
