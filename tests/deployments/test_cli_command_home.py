"""One rule decides which home a command works in and which prices that holds; only success stamps
it."""

import json
import os
from pathlib import Path

import pytest

from deployments.cli.app import run
from deployments.cli.options import in_home
from stockml.errors import InvalidFile
from stockml.home import current_home as home_of
from stockml.provider.price_source import claim
from tests.bench.material import write_csv
from tests.support.old_homes import moved_to
from tests.support.recordings import recorded

KEY = {"ALPHAVANTAGE_API_KEY": "K3Y12345"}
EVENING = {"STOCKML_CLOCK": "2013-02-20T23:00:00-05:00"}


@pytest.fixture
def person(tmp_path, monkeypatch):
    """A person's empty home folder; the current folder is `work` in it."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def place(environ, command="forecast"):
    """A command's home, relative to the person's folder; the environment must be as before
    afterwards."""
    given = dict(environ)
    with in_home(command, environ) as chosen:
        assert home_of(environ) == chosen
        shown = os.path.relpath(chosen.root, Path.home())
    assert environ == given
    return shown


@pytest.mark.parametrize(
    ("environ", "command", "expected"),
    [
        ({}, "forecast", ".stockml/replay"),
        (KEY, "forecast", ".stockml"),
        ({"STOCKML_HOME": "mine"}, "forecast", "mine/replay"),
        ({"STOCKML_HOME": "mine", **KEY}, "forecast", "mine"),
        ({}, "import", ".stockml"),
        # another evening of the recording, not the market's home
        (EVENING, "forecast", ".stockml/replay"),
        (EVENING | KEY, "forecast", ".stockml"),  # a feed of one's own
    ],
)
def test_without_a_key_the_home_is_the_replays_and_with_one_the_markets_in_a_fixed_place(
    person, environ, command, expected
):
    mine = {"STOCKML_HOME": str(person / "mine")} if "STOCKML_HOME" in environ else {}
    assert place({**environ, **mine}, command) == expected
    assert not (person / ".stockml").exists()


def replayed():
    claim(home_of({"STOCKML_HOME": str(Path.home() / ".stockml" / "replay")}), "replay")


def asked_with_a_key():
    claim(home_of({}), "market")


def up_with_a_key():
    home_of({}).servers.parent.mkdir(parents=True, exist_ok=True)
    home_of({}).servers.touch()


@pytest.mark.parametrize(
    ("before", "without_key"),
    [  # what was done before, and where any command then goes without a key
        ([replayed], ".stockml/replay"),
        ([replayed, asked_with_a_key], ".stockml"),
        ([replayed, up_with_a_key], ".stockml"),
    ],
)
def test_all_commands_agree_on_the_home_whatever_was_done_before(person, before, without_key):
    """`make run` is `nightly`. It played the replay where `make up` opened the market's home."""
    for step in before:
        step()
    replay = {"STOCKML_HOME": str(person / ".stockml" / "replay")}
    for command in ("nightly", "up", "backup"):
        assert place({}, command) == without_key
        assert place(dict(KEY), command) == ".stockml"
        assert place(dict(replay), command) == ".stockml/replay"


def test_a_miss_in_one_home_names_the_other_and_every_command_names_its_own(
    person, monkeypatch, capsys
):
    monkeypatch.delenv("STOCKML_HOME", raising=False)
    home, replay = person / ".stockml", person / ".stockml" / "replay"

    def said(*command, code=0):
        assert run(command) == code
        return capsys.readouterr()

    replayed()
    assert said("tickers", "list")[1] == f"stockml: recorded prices in {replay}\n"
    asked_with_a_key()
    both = f"the market's prices in {home}; recorded prices: STOCKML_HOME={replay}"
    assert said("tickers", "list")[1] == f"stockml: {both}\n"
    told = json.loads(said("tickers", "list", "--json")[0])["home"]
    assert told == {"folder": str(home), "prices": "market"}
    monkeypatch.setenv("STOCKML_HOME", str(replay))
    other = f"; recorded prices in {replay}; the market's prices: STOCKML_HOME={home}\n"
    assert said("forecast", "IBM", code=1)[1].endswith(other)


def mode(folder):
    return folder.stat().st_mode & 0o7777


def test_a_home_that_others_could_enter_is_closed_to_them_by_any_command(person):
    """Before it, one of an earlier version; after it, a folder that was there before its first
    night."""
    old, fresh = person / "old", person / "fresh"
    moved_to(old)
    fresh.mkdir()
    old.chmod(0o2755)
    fresh.chmod(0o755)
    with in_home("status", {"STOCKML_HOME": str(old)}):
        assert mode(old) == 0o2700
    with in_home("nightly", {"STOCKML_HOME": str(fresh), **KEY}):
        assert mode(fresh) == 0o755, "no home yet"
        (fresh / "prices.json").write_text('{"prices": "market"}')
    assert mode(fresh) == 0o700


@pytest.mark.parametrize("content", [b"K3Y12345\n", b"\xef\xbb\xbfK3Y12345\r\n"])
def test_a_secret_is_read_from_its_file(person, content):
    (file := person / "key").write_bytes(content)
    environ = {"ALPHAVANTAGE_API_KEY_FILE": str(file)}
    with in_home("nightly", environ):
        assert environ["ALPHAVANTAGE_API_KEY"] == "K3Y12345"
    assert "ALPHAVANTAGE_API_KEY" not in environ
    away = {"STOCKML_DATABASE_URL_FILE": "/none"}
    with pytest.raises(InvalidFile, match="expected a file with a secret"), in_home("", away):
        pass


def test_a_proxy_is_not_used_for_this_machines_own_servers(person):
    own = "127.0.0.1,localhost,::1"
    for given, expected in (
        ({}, None),
        ({"http_proxy": "http://proxy:3128"}, own),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "corp"}, f"corp,{own}"),
        ({"no_proxy": "one", "NO_PROXY": "other"}, f"one,{own}"),
        ({"no_proxy": "*"}, "*"),
    ):
        environ = dict(given)
        with in_home("nightly", environ):
            assert environ.get("no_proxy") == environ.get("NO_PROXY") == expected
        assert environ == given


def test_a_replay_takes_no_history_of_the_market_nor_its_backup_the_place_of_the_markets_home(
    person, monkeypatch, capsys
):
    replay, archive = person / "replayed", str(person / "backup.zip")
    claim(home_of({"STOCKML_HOME": str(replay)}), "replay")
    monkeypatch.setenv("STOCKML_HOME", str(replay))
    write_csv(recorded("IBM").tail(300), Path("ibm.us.txt"))
    for given in ("IBM ibm.us.txt", ".", "IBM"):
        assert run(["import", *given.split()]) == 1
        assert "home for market prices" in capsys.readouterr().err
    assert run(["import", "IBM", "ibm.us.txt", "--dry-run"]) == 0
    assert not (replay / "store").exists()
    assert run(["backup", archive]) == 0
    monkeypatch.delenv("STOCKML_HOME")
    capsys.readouterr()
    assert run(["restore", archive]) == 0
    assert f"brought to {person / '.stockml' / 'replay'} from" in capsys.readouterr().out
    assert place({}) == ".stockml/replay"
    assert place(dict(KEY)) == ".stockml"
