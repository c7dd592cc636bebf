"""`stockml status` shows what the home knows, whatever else is away; and `tickers` what it has
changed."""

import pytest

from deployments.cli.app import run
from stockml.clock import time_left
from stockml.nights.key_figures import keep_newest
from stockml.provider.price_source import claim
from tests.support.loopback import Loopback, whole
from tests.support.nights import recorded_night


def refusing(status):
    """As of a server that is up, but lets nobody in, or whose database is away."""
    return lambda exchange: whole(b"{}", 200 if exchange.path.endswith("/health") else status)(
        exchange
    )


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (401, "expected Prefect at http://127.0.0.1:{port}/api"),
        (500, "the server at 127.0.0.1:{port} failed within"),
    ],
)
def test_a_prefect_that_says_nothing_costs_the_next_run_only(home, status, why, monkeypatch, capfd):
    with Loopback(refusing(status)) as server:
        port = server.address.rpartition(":")[2]
        monkeypatch.setenv("PREFECT_API_URL", f"{server.address}/api")
        assert run(["status"]) == 1
    shown = capfd.readouterr()
    assert [line.split()[0] for line in shown.out.splitlines()[1:4]] == ["AAPL", "IBM", "MSFT"]
    assert "No server is up" not in shown.out
    (said, _) = shown.err.splitlines()
    assert said.startswith(f"stockml: without next runs: {why.format(port=port)}")


def test_a_ticker_that_is_not_in_the_list_any_more_or_never_was_is_said_to_be_so(
    home, monkeypatch, capsys
):
    monkeypatch.setenv("STOCKML_CLOCK", "2013-03-05T12:00:00+00:00")
    claim(home, "replay")
    keep_newest(home.nights, recorded_night())
    home.tickers.write_text("tickers: [KO]")
    assert run(["status", "KO", "IBM", "IBMM"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert ["not followed" in line for line in shown[1:4]] == [True, True, False]
    assert "IBM: not followed; 2 sessions behind" in shown
    assert "IBMM: not followed; no night yet" in shown


def test_a_ticker_that_prefect_cannot_be_told_of_is_in_the_list_all_the_same(
    home, monkeypatch, capfd
):
    with Loopback(refusing(401)) as server:
        monkeypatch.setenv("PREFECT_API_URL", f"{server.address}/api")
        assert run(["tickers", "add", "GOOG"]) == 1
        added = capfd.readouterr()
    done, how = added.out.splitlines()
    assert done.startswith("added GOOG; ")
    assert how == "start `stockml up` again to tell Prefect"
    assert added.err.startswith("stockml: expected Prefect at ")


def test_the_time_left_is_worded_as_people_say_it():
    said = [time_left(2, 4, 20.0), time_left(1, 31, 10.0), time_left(1, 101, 100.0)]
    assert said == [f"about {left} left" for left in ("20 s", "5 min", "2.8 h")]
    assert time_left(4, 4, 9.0) == "all done"
