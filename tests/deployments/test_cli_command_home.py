"""One rule decides which home a command works in and which prices that holds; only success stamps it."""

import os
from pathlib import Path

import pytest

from deployments.cli.app import run
from deployments.cli.command_home import in_home, state_sync
from stockml.errors import InvalidFile, RecordUnreadable
from stockml.home import HomePaths
from stockml.home import current_home as home_of
from stockml.prices.store import BarStore
from stockml.provider.price_source import claim, kind_here, kind_in
from stockml.storage.sharing import commit_all, refresh
from tests.support.commands import store_of
from tests.support.old_homes import moved_to
from tests.support.postgres_server import needs_postgres
from tests.support.recordings import recorded

KEY = {"ALPHAVANTAGE_API_KEY": "K3Y12345"}


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's empty home folder; the current folder is `work` in it."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def place(environ: dict[str, str], command: str = "forecast") -> str:
    """A command's home, relative to the person's folder; the environment must be as before afterwards."""
    given = dict(environ)
    with in_home(command, environ) as chosen:
        assert home_of(environ) == chosen
        shown = os.path.relpath(chosen.root, Path.home())
    assert environ == given
    return shown


def test_without_a_key_the_home_is_the_replays_and_with_one_the_markets_in_a_fixed_place(person: Path) -> None:
    assert place({}) == ".stockml/replay"
    assert place(dict(KEY)) == ".stockml"
    assert place({"STOCKML_HOME": str(person / "mine")}) == "mine/replay"
    assert place({"STOCKML_HOME": str(person / "mine"), **KEY}) == "mine"
    assert place({}, "import") == ".stockml"
    clock = {"STOCKML_CLOCK": "2013-02-20T23:00:00-05:00"}
    assert place(dict(clock)) == ".stockml/replay", "another evening of the recording, not the market's home"
    assert place(clock | KEY) == ".stockml", "a feed of one's own"
    with in_home("status", environ := dict(clock)):
        assert environ["STOCKML_CLOCK"] == clock["STOCKML_CLOCK"]
    assert not (person / ".stockml").exists()


def test_programs_that_a_command_starts_stay_in_its_replay(person: Path) -> None:
    environ: dict[str, str] = {}
    with in_home("up", environ):
        assert environ["STOCKML_CLOCK"].startswith("2013-03-01")
        assert place(dict(environ)) == ".stockml/replay"
        del environ["STOCKML_CLOCK"]
        assert place(dict(environ)) == ".stockml/replay"


def test_a_market_home_in_use_is_found_even_without_the_key(person: Path) -> None:
    (person / ".stockml" / "store" / "history").mkdir(parents=True)
    assert place({}) == ".stockml/replay", "a failed command may leave empty folders"
    servers = person / ".stockml" / "servers.json"
    servers.touch()
    assert place({}) == ".stockml", "a service may hold the key in its own environment, before its first night"
    servers.unlink()
    (person / ".stockml" / "store" / "history" / "KO.parquet").touch()
    assert place({}) == ".stockml"
    assert kind_here(home_of({}), {}) == "market"


def test_an_earlier_versions_home_stays_in_use_and_its_replay_does_not_shut_out_a_key(
    person: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved_to(person / "work" / ".stockml")
    assert place({}) == "work/.stockml"
    said = capsys.readouterr().err
    assert "which an earlier version made" in said
    assert f"move it to {person / '.stockml'}" in said
    assert place(dict(KEY)) == place({}, "import") == ".stockml"
    assert place({"STOCKML_HOME": str(person / "work" / ".stockml")}) == "work/.stockml"


def mode(folder: Path) -> int:
    return folder.stat().st_mode & 0o7777


def test_a_home_that_others_could_enter_is_closed_to_them_by_any_command(person: Path) -> None:
    """Before it, one of an earlier version; after it, a folder that was there before its first night."""
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


def test_a_folder_that_is_no_home_or_not_ones_own_is_left_as_it_is(person: Path) -> None:
    plain, anothers = person / "plain", person / "anothers"
    plain.mkdir()
    (plain / "letter.txt").touch()
    moved_to(anothers)
    for folder in (plain, anothers):
        folder.chmod(0o755)
    if os.geteuid() == 0:
        os.chown(anothers, 1000, 1000)
    else:
        anothers = plain
    for folder in (plain, anothers):
        assert place({"STOCKML_HOME": str(folder), **KEY}, "status") == folder.name
        assert mode(folder) == 0o755


@pytest.mark.parametrize("content", [b"K3Y12345\n", b"\xef\xbb\xbfK3Y12345\r\n"], ids=["Unix", "Windows"])
def test_a_secret_is_read_from_its_file(person: Path, content: bytes) -> None:
    file = person / "key"
    file.write_bytes(content)
    environ = {"ALPHAVANTAGE_API_KEY_FILE": str(file)}
    with in_home("nightly", environ):
        assert environ["ALPHAVANTAGE_API_KEY"] == "K3Y12345"
    assert "ALPHAVANTAGE_API_KEY" not in environ
    with (
        pytest.raises(InvalidFile, match="expected a file with a secret"),
        in_home("", {"STOCKML_DATABASE_URL_FILE": "/none"}),
    ):
        pass


@pytest.mark.slow
@needs_postgres
def test_what_a_failed_command_has_changed_is_committed_where_machines_share_the_state(
    home: HomePaths,
    s3_folder: str,
    stockml_database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Otherwise the next command would bring the old ticker's files back beside the new one's."""
    there = {"STOCKML_STATE": s3_folder, "STOCKML_DATABASE_URL": stockml_database}
    away = {"PREFECT_API_URL": "http://127.0.0.1:1/api", "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    for name, value in {**KEY, **there, **away}.items():
        monkeypatch.setenv(name, value)
    store_of(here := home_of(), "FB")
    commit_all(here)
    assert run(["rename", "FB", "META"]) == 1
    said = capsys.readouterr()
    assert "FB is META: bars" in said.out
    assert "expected Prefect at http://127.0.0.1:1/api, found no answer" in said.err
    another = home_of({**there, "STOCKML_HOME": str(tmp_path / "another")})
    refresh(another)
    assert BarStore.of(another).tickers() == ("META",)


@needs_postgres
def test_a_home_is_the_state_before_servers_and_nights_start_from_it(two_homes: tuple[HomePaths, HomePaths]) -> None:
    """`up` ends after months: another's night began without the bars, and this one was refused."""
    here, another = two_homes
    store_of(here, "IBM")
    with state_sync(here, "up"):
        refresh(another)
        assert BarStore.of(another).tickers() == ("IBM",)


@needs_postgres
def test_a_night_ends_well_beside_what_another_machine_was_faster_to_change(
    two_homes: tuple[HomePaths, HomePaths],
) -> None:
    """As after a kill: the other ticker's next night sets it aside. Each night until then ended in an error."""
    here, another = two_homes
    for machine in (here, another):
        with state_sync(machine, "status"):
            machine.ledger.mkdir(parents=True, exist_ok=True)
    (here.ledger / "IBM.parquet").write_text("of a night that was killed")
    (another.ledger / "IBM.parquet").write_text("of the one that took its place")
    commit_all(another)
    with state_sync(here, "nightly"):
        here.tickers.write_text("MSFT: {}")
    refresh(another)
    assert another.tickers.read_text() == "MSFT: {}"
    assert (another.ledger / "IBM.parquet").read_text() == "of the one that took its place"


@needs_postgres
def test_a_command_that_names_a_ticker_waits_for_no_other(
    two_homes: tuple[HomePaths, HomePaths], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look at one ticker's bars brought the files of all, minutes of them on a slow line."""
    here, another = two_homes
    for ticker in ("IBM", "MSFT"):
        store_of(here, ticker)
    commit_all(here)
    (tmp_path / "MSFT").mkdir()
    monkeypatch.chdir(tmp_path)
    for words, brought in (
        (["backtest", "IBM", "--from", "2012-01-05"], ()),  # its run brings what it needs
        (["bars", "ibm"], ("IBM",)),
        (["import", "--calendar", "XNYS", "AAPL", "aapl.csv"], ("IBM",)),
        (["tickers", "list"], ("IBM",)),
        (["import", "MSFT"], ("IBM", "MSFT")),
    ):
        with state_sync(another, words[0], words[1:]):
            assert BarStore.of(another).tickers() == brought


@needs_postgres
def test_a_command_that_names_a_ticker_is_refused_for_no_other(two_homes: tuple[HomePaths, HomePaths]) -> None:
    """The other's next night sets aside what this machine could not commit."""
    here, another = two_homes
    for machine, ticker in ((here, "IBM"), (another, "IBM"), (here, "MSFT")):
        store_of(machine, ticker)
    (another.ledger / "IBM.parquet").parent.mkdir()
    (another.ledger / "IBM.parquet").write_text("of this machine alone")
    commit_all(here)
    with state_sync(another, "rollback", ["MSFT"]):
        champion = another.models / "MSFT" / "champion.json"
        champion.parent.mkdir(parents=True)
        champion.write_text("the previous one")
    refresh(here)
    assert (here.models / "MSFT" / "champion.json").read_text() == "the previous one"


def test_a_proxy_is_not_used_for_this_machines_own_servers(person: Path) -> None:
    own = "127.0.0.1,localhost,::1"
    for given, expected in (
        ({}, None),
        ({"http_proxy": "http://proxy:3128"}, own),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "corp.example, localhost"}, f"corp.example,localhost,{own}"),
        ({"no_proxy": "one", "NO_PROXY": "other"}, f"one,{own}"),
        ({"no_proxy": "*"}, "*"),
    ):
        environ = dict(given)
        with in_home("nightly", environ):
            assert environ.get("no_proxy") == environ.get("NO_PROXY")
            assert set((environ.get("no_proxy") or "").split(",")) == set((expected or "").split(","))
        assert environ == given


def test_if_a_homes_kind_cannot_be_read_the_advice_is_not_to_start_over(person: Path) -> None:
    """Without the file, recorded prices in a folder of another name would count as the market's."""
    (person / "prices.json").write_text("")
    with pytest.raises(
        RecordUnreadable, match=r'or write \{"prices": "market"\} or \{"prices": "replay"\} into a file'
    ) as told:
        place({"STOCKML_HOME": str(person)})
    assert "move it away" not in str(told.value)
    assert place({"STOCKML_HOME": str(person)}, "doctor") == ".", "the doctor reports it among its other checks"
    (person / "prices.json").write_text('{"prices": "replay"}')
    assert place({"STOCKML_HOME": str(person)}) == "."


def test_a_replays_backup_is_not_brought_to_the_place_of_the_markets_home(
    person: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    claim(home_of({"STOCKML_HOME": str(person / "replayed")}), "replay")
    monkeypatch.setenv("STOCKML_HOME", str(person / "replayed"))
    assert run(["backup", str(person / "backup.zip")]) == 0
    monkeypatch.delenv("STOCKML_HOME")
    assert run(["restore", str(person / "backup.zip")]) == 0
    assert f"brought to {person / '.stockml' / 'replay'} from" in capsys.readouterr().out
    assert place({}) == ".stockml/replay"
    assert place(dict(KEY)) == ".stockml"
    assert kind_in(home_of({})) is None
    monkeypatch.setenv("STOCKML_HOME", str(person / "named"))
    assert run(["restore", str(person / "backup.zip")]) == 0
    assert place({"STOCKML_HOME": str(person / "named")}) == "named"


def test_no_history_of_the_market_is_imported_into_a_replay(
    person: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    claim(home_of({"STOCKML_HOME": str(person / "replayed")}), "replay")
    monkeypatch.setenv("STOCKML_HOME", str(person / "replayed"))
    recorded("IBM").tail(300).rename(columns=str.capitalize).rename_axis("Date").to_csv("ibm.us.txt")
    for given in ("IBM ibm.us.txt", "."):
        assert run(["import", *given.split()]) == 1
        assert "expected a home for market prices, found one with replay prices" in capsys.readouterr().err
    assert run(["import", "IBM", "ibm.us.txt", "--dry-run"]) == 0
    assert not (person / "replayed" / "store").exists()
