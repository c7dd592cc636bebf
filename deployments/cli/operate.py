"""Commands that operate a home: its servers, worker and feed, the doctor, the clean-up, backups,
and MLflow's runs."""

import os
import signal
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

from typer import Argument, Option, Typer

from deployments.cli.options import Json, as_days, json_text
from deployments.cli.runs import result_of
from deployments.servers.prefect_api import prefect_api
from stockml.errors import quantity
from stockml.home import current_home
from stockml.provider.price_source import replay_home

if TYPE_CHECKING:
    from stockml.maintenance.backup import Archived

app = Typer()
PrefectPort = Annotated[
    int, Option(min=1, max=65535, envvar="STOCKML_PREFECT_PORT", help="Port of Prefect's page.")
]
MlflowPort = Annotated[
    int, Option(min=1, max=65535, envvar="STOCKML_MLFLOW_PORT", help="Port of MLflow's page.")
]
Address = Annotated[
    str, Option(envvar="STOCKML_ADDRESS", help="One that others can reach needs a password.")
]


@app.command()
def up(
    prefect_port: PrefectPort = 4200, mlflow_port: MlflowPort = 5000, address: Address = "127.0.0.1"
) -> None:
    """Run Prefect, MLflow and a worker here until Ctrl-C."""
    from deployments.servers import stack
    from deployments.servers.access import ADDRESS

    signal.signal(signal.SIGINT, _interrupted)
    signal.signal(signal.SIGTERM, _interrupted)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as `nohup` leaves it
        signal.signal(signal.SIGHUP, _interrupted)
    environ = os.environ | {ADDRESS: address}
    with (
        suppress(KeyboardInterrupt),
        stack.up(current_home(), prefect_port, mlflow_port, environ, _say) as children,
    ):
        stack.watch(children, _say)
    _say("stopped")


def _interrupted(*_: object) -> NoReturn:
    """Stop everything in order on the first Ctrl-C, SIGTERM or closing of the terminal; ignore
    further ones."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # with SIG_IGN a second signal already under way is reported as an error
        signal.signal(number, lambda *_: None)
    with suppress(OSError):
        os.write(1, b"stopping\n")  # `print` may be the one that is interrupted
    raise KeyboardInterrupt


def _say(*words: object) -> None:
    """Print a line; servers outlast their terminal, and a full disk below their output."""
    with suppress(OSError):
        print(*words, flush=True)


@app.command()
def alerts(switch: Annotated[Literal["on", "off"], Argument(help="on or off")]) -> None:
    """Switch on or off alerts and the morning digest.

    They tell of unusual ranges, prices outside them, new champions and missing forecasts; what is
    new, every morning. Each can be switched in Prefect's page too, under Automations.
    """
    with prefect_api(current_home()):
        from deployments.registration.automations import install, switch_alerts

        install(os.environ)
        switch_alerts(enabled=switch == "on")
    print(f"alerts are {switch}")


@app.command()
def doctor(as_json: Json = False) -> int:
    """Check for problems and say how to fix them. Looks at versions, home, key, quota, servers and
    stored files.

    Exit code 1 if there is a problem.
    """
    from deployments.doctor import examine
    from stockml import clock

    checks = []
    for check in examine(current_home(), os.environ, clock.now()):
        checks.append(check)
        if not as_json:
            print(check, flush=True)
    healthy = all(check.verdict != "problem" for check in checks)
    if as_json:
        print(json_text({"healthy": healthy, "checks": [vars(check) for check in checks]}))
    return 0 if healthy else 1


@app.command("maintenance")
def clear_up(
    dry_run: Annotated[bool, Option("--dry-run", help="Only list what would be removed.")] = False,
    keep: Annotated[
        list[str] | None, Option(metavar="NAME=NUMBER", help="Such as model_days=30; repeatable.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Resume waiting nights, remove old data.

    Never removes a champion, the ledger, the store, or a night that MLflow lacks.
    """
    days = as_days(keep)
    with prefect_api(current_home()):
        from flows.maintenance import maintenance

        steps = result_of(maintenance, dry_run=dry_run, keep=days, quiet=as_json or dry_run)
    from rich.filesize import decimal

    from tasks.maintenance import summary

    if as_json:
        plain = [vars(step) for step in steps]
        print(
            json_text({"dry_run": dry_run, "message": summary(steps), "steps": plain}, default=list)
        )
    else:
        for step in steps:
            size = "" if step.size is None else f", {decimal(step.size)}"
            result = (
                f"not done: {step.failed}"
                if step.failed
                else f"{quantity(step.count, 'thing')}{size}"
            )
            print(f"{step.name:<28} {result}")
            for thing in step.things:
                print(f"  {thing}")
        print(f"{'would go' if dry_run else 'done'}: {summary(steps)}")
    return int(bool(steps) and all(step.failed for step in steps))


@app.command()
def backup(
    file: Annotated[Path, Argument(metavar="FILE", help="The zip archive to create.")],
    as_json: Json = False,
) -> None:
    """Archive all that cannot be made again; runs may go on."""
    from stockml.maintenance.backup import back_up

    home = current_home()
    _print_archived(
        file, back_up(home, file, datetime.now(UTC)), f"of {home.root} archived in", as_json
    )
    if home.database:
        print(
            "stockml: PostgreSQL's tables are not in it: `pg_dump` archives those", file=sys.stderr
        )


@app.command("restore")
def restore_home(
    file: Annotated[Path, Argument(metavar="FILE", help="An archive made by `stockml backup`.")],
    as_json: Json = False,
) -> None:
    """Check an archive and restore it into an empty home. Then `stockml up` schedules its tickers.

    A replay's backup goes to `replay/` in it.
    """
    from stockml.maintenance.backup import holds_replay, restore

    home = replay_home(os.environ) if holds_replay(file) else current_home()
    _print_archived(file, restore(home, file), f"brought to {home.root} from", as_json)


def _print_archived(file: Path, archived: "Archived", verb: str, as_json: bool) -> None:
    text = f"{quantity(archived.files, 'file')} {verb} {file} ({archived.size / 1e6:.1f} MB)"
    print(json_text({"file": str(file), **vars(archived)}) if as_json else text)
