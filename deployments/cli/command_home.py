"""The home that a command works in: chosen once before it starts; the environment is restored
afterwards.

The rule: STOCKML_HOME, else `~/.stockml`, is the market's from the first key or import on; until
then, and without a key, commands use the recorded prices in its folder `replay`.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from deployments.process import restored
from stockml.errors import InvalidFile, StoreError
from stockml.home import LOOPBACK, HomePaths, current_home, make_private, user_root
from stockml.provider.price_source import is_named, kind_here, replay_home
from stockml.storage.os_errors import check_home

SECRETS = (
    "TIINGO_API_KEY",
    "ALPHAVANTAGE_API_KEY",
    "PGPASSWORD",
    "PREFECT_SERVER_API_AUTH_STRING",
    "STOCKML_DATABASE_URL",
    "STOCKML_WEBHOOK_URL",
)
FOR_THE_MARKET = ("import", "restore")  # a recording needs no imported history
NO_PROXY = ("no_proxy", "NO_PROXY")  # if the two differ, the first wins


@contextmanager
def in_home(
    command: str = "", environ: MutableMapping[str, str] = os.environ
) -> Iterator[HomePaths]:
    """Yield the home that the environment names, with STOCKML_HOME set to it meanwhile. Raises
    InvalidFile.

    With no API key and no home in use, it is the replay's home, and the clock stands at the
    recording's end if it is not set. Secrets are also read from the files named by NAME_FILE
    variables. Proxies are bypassed for this machine's own servers. The home's folder is closed to
    other users.
    """
    with restored(environ, ("STOCKML_HOME", "STOCKML_STORE", "STOCKML_CLOCK", *SECRETS, *NO_PROXY)):
        # no_proxy alone would hide the system's
        if any(name.lower().endswith("_proxy") for name in environ):
            environ.update(dict.fromkeys(NO_PROXY, _unproxied(environ)))
        environ.update(
            {
                name: _content(environ[f"{name}_FILE"])
                for name in SECRETS
                if environ.get(f"{name}_FILE")
            }
        )
        home = _choose_home(command, environ)
        make_private(home)
        try:
            yield home
        finally:
            make_private(home)  # it may be a home only now


def _choose_home(command: str, environ: MutableMapping[str, str]) -> HomePaths:
    home = current_home(environ)
    user_root()  # which Prefect's settings need too, wherever the home is
    environ["STOCKML_HOME"] = str(home.root)
    # which reports them among its checks
    with suppress(*([StoreError] if command == "doctor" else [])):
        check_home(home, restoring=command == "restore")
        if (
            command not in FOR_THE_MARKET
            and kind_here(home, environ) == "replay"
            and not is_named(environ)
        ):
            from stockml.clock import END_OF_RECORDING

            home = replay_home(environ)
            clock = environ.get("STOCKML_CLOCK") or END_OF_RECORDING.isoformat()
            environ.update(STOCKML_CLOCK=clock, STOCKML_HOME=str(home.root))
            check_home(home)
    return home


def json_text(plain: Mapping[str, Any], default: Callable[[Any], Any] | None = None) -> str:
    """One JSON object that also names the home and its kind of prices."""
    home = current_home()
    try:
        prices: str | None = kind_here(home, os.environ)
    except StoreError:  # `stockml doctor` reports it
        prices = None
    return json.dumps(
        {**plain, "home": {"folder": str(home.root), "prices": prices}}, default=default
    )


def _unproxied(environ: Mapping[str, str]) -> str:
    bypassed = next(filter(None, map(environ.get, NO_PROXY)), "")
    hosts = [host.strip() for host in bypassed.split(",") if host.strip()]
    return bypassed if hosts == ["*"] else ",".join(dict.fromkeys([*hosts, *LOOPBACK]))


def _content(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "no text"
        raise InvalidFile(
            file, f"expected a file with a secret, found that it cannot be read ({why})"
        ) from error
