"""A share goes on under another symbol: everything kept of it follows, wherever the rename is
interrupted."""

import os
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from mlflow import MlflowClient

from stockml.errors import InvalidTicker, StoreError, TrackingUnavailable
from stockml.forecasts.ledger import Ledger
from stockml.maintenance.rename import is_known, rename
from stockml.models.registry import Promotion, Registry
from stockml.nights.record import night_path, read_night, write_night
from stockml.prices.bars import Split
from stockml.prices.store import BarStore
from stockml.storage.files import sha256_of, write_atomically
from stockml.storage.locks import interrupted_renames, ticker_lock
from stockml.training.tuning import tuned_settings, write_tuned_settings
from tests.support.forecasts import entry
from tests.support.nights import recorded_night
from tests.support.recordings import recorded

NOW = datetime(2026, 11, 24, 4, 0, tzinfo=UTC)
TOLD = {"recorded_at": NOW, "source": "test"}
BARS = recorded("IBM").iloc[-300:]
DAY = date(2013, 2, 28)


@pytest.fixture
def filled(with_tables):
    """A home with everything that can be kept of IBM, and an MLflow without anything."""
    home, store = with_tables, BarStore.of(with_tables)
    store.append("IBM", BARS.iloc[-100:], **TOLD, session=date(2013, 3, 1))
    store.record_import("IBM", BARS.iloc[:-50], **TOLD)
    store.record_splits("IBM", [Split(date(2013, 2, 1), 1.001)], **TOLD)
    store.judge("IBM", DAY, accepted=False, **TOLD)
    Ledger(home.ledger).publish(entry(60))
    folder = home.models / "IBM" / "a"
    write_atomically(folder / "model.json", b"{}")
    for key in ("0" * 64, "1" * 64):
        line = key, str(folder), sha256_of(str(folder)), None, DAY, "why", NOW
        Registry(home.models).promote(Promotion("IBM", "promote", *line))
    night = replace(recorded_night(), model_folder=str(folder))
    write_night(night, night_path(home.nights, "IBM", night.key))
    write_tuned_settings(home, "IBM", {"training.epochs": 2}, {})
    write_atomically(home.root / "plots" / "IBM" / "a" / "forecast.png", b"drawn")
    return home


def everything(home, ticker):
    """Everything kept of a ticker, without its name."""
    store, registry = BarStore.of(home), Registry(home.models)
    champion = registry.champion(ticker)
    (night,) = (read_night(path) for path in home.nights.glob(f"{ticker}/*/night.json"))
    assert champion.intact()
    assert (champion.ticker, night.ticker) == (ticker, ticker)
    assert night.model_folder == champion.path
    view = store.view(ticker)
    forecasts = [replace(each, ticker="") for each in Ledger(home.ledger).entries(ticker)]
    lines = [replace(line, ticker="", path="") for line in registry.history(ticker)]
    kept = [store.splits(ticker), forecasts, lines, night.forecast, tuned_settings(home, ticker)]
    return [view.bars.to_csv(), view.set_aside, *kept]


def test_everything_kept_follows_a_renamed_share_also_in_a_home_that_was_moved_since_its_nights(
    filled, tmp_path
):
    root = filled.root.rename(tmp_path / "elsewhere")
    here = replace(filled, root=root, store=root / "store")
    before = everything(here, "IBM")
    moved = rename(here, "IBM", "BIM")
    assert {"bars", "forecasts", "models", "nights", "champions", "settings"} <= {*moved}
    check_followed(here, before)


def test_of_a_share_whose_rename_was_cut_short_nothing_is_begun_anew(filled):
    """Neither a night, which would fetch bars anew beside those that have moved, nor a rename to a
    third symbol."""
    before, times = everything(filled, "IBM"), 0
    while moves_one(filled) and [*interrupted_renames(filled)]:
        times += 1
        unfinished = pytest.raises(StoreError, match="finish it: `stockml tickers rename IBM BIM`")
        for ticker in ("IBM", "BIM"):
            with unfinished:
                rename(filled, ticker, "CIM")
            with unfinished, ticker_lock(filled, ticker):
                raise AssertionError
    assert times > 6, "bars, forecasts, models, nights, settings, champions"
    with ticker_lock(filled, "BIM"):
        check_followed(filled, before)


def test_mlflow_follows_a_renamed_share_and_nothing_moves_while_it_is_away(filled):
    mlflow, before = MlflowClient(filled.tracking_uri), everything(filled, "IBM")
    of_ibm = mlflow.create_experiment("stockml/IBM")
    with pytest.raises(TrackingUnavailable):
        rename(replace(filled, tracking_uri="http://127.0.0.1:9"), "IBM", "BIM")
    assert everything(filled, "IBM") == before
    with ticker_lock(filled, "IBM"):
        assert not [*filled.locks.glob("* *.*")], "nothing has to be finished first"
    assert "MLflow's experiment" in rename(filled, "IBM", "BIM")
    assert mlflow.get_experiment(of_ibm).name == "stockml/BIM"


def moves_one(home):
    """Rename, interrupted once one file or folder has moved; return whether anything was left to
    move."""
    moved: list[Path] = []

    def once(real):
        def move(source, target):
            if moved:
                raise KeyboardInterrupt
            real(source, target)
            moved.append(target)

        return move

    with pytest.MonkeyPatch.context() as patch:
        for name in ("replace", "rename"):
            patch.setattr(os, name, once(getattr(os, name)))
        with suppress(KeyboardInterrupt):
            rename(home, "IBM", "BIM")
    return bool(moved)


def check_followed(home, before):
    assert everything(home, "BIM") == before
    assert BarStore.of(home).tickers() == ("BIM",)
    assert [
        path
        for path in home.root.rglob("IBM*")
        if "locks" not in path.parts and path.suffix != ".lock"
    ] == []


def test_what_a_share_that_left_has_left_behind_is_not_taken_for_data(filled):
    """Empty folders, and the locks in them."""
    before = everything(filled, "IBM")
    for folder in (filled.models / "BIM" / "key", filled.nights / "BIM"):
        folder.mkdir(parents=True)
    (filled.models / "BIM" / ".promotions.jsonl.lock").touch()
    write_tuned_settings(filled, "KO", {}, {})
    Ledger(filled.ledger).publish(replace(entry(60), ticker="PEP"))
    assert [is_known(filled, ticker) for ticker in ("BIM", "KO", "PEP")] == [False, True, True]
    rename(filled, "IBM", "BIM")
    check_followed(filled, before)
    (filled.models / "IBM").mkdir()
    assert rename(filled, "IBM", "BIM") == ()


def test_a_symbol_in_use_is_not_overwritten(filled):
    BarStore.of(filled).append(
        "MSFT", recorded("MSFT").iloc[-100:], **TOLD, session=date(2013, 3, 1)
    )
    Ledger(filled.ledger).publish(replace(entry(61), ticker="KO"))
    write_tuned_settings(filled, "PEP", {"training.epochs": 3}, {})
    write_atomically(filled.models / "GE" / "key" / "model.json", b"{}")
    for ticker, why in (
        ("MSFT", "expected no rows there yet"),
        ("KO", r"KO\.parquet: expected nothing there yet"),
        ("PEP", r"settings.PEP\.json: expected nothing there yet"),
        ("GE", "expected nothing there yet"),
    ):
        with pytest.raises(StoreError, match=why):
            rename(filled, "IBM", ticker)
        for each in ("IBM", ticker):  # nothing was begun, so nothing has to be finished first
            with ticker_lock(filled, each):
                pass
    with pytest.raises(InvalidTicker):
        rename(filled, "IBM", "../IBM")
    assert BarStore.of(filled).tickers() == ("IBM", "MSFT")
