"""A date chooses the vintages; a missing or damaged one is named, and what remains still
forecasts."""

import shutil
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from scipy.special import ndtri

from stockml.errors import InvalidFile, OtherVersion, TooFewBars
from stockml.features.volatility import Volatilities
from stockml.models import vintage_store
from stockml.models.regressions import LEVELS
from stockml.models.vintage_set import (
    VintageSet,
    file_of,
    keep_superseded,
    oldest_through,
    vintage_cache,
    vintages_sha256,
)
from stockml.models.vintage_store import SHIPPED
from tests.support.walks import walk

ALL = np.arange(1, 61)
LATER, EARLIER = date(2018, 1, 1), date(1999, 6, 30)


LONG = np.array([1, 50, 200])


def check_extended(found, expected):
    """At LONG: beyond the longest learned lead the width grows with the square root of time."""
    np.testing.assert_allclose(found[:, :2], expected)
    np.testing.assert_allclose(found[:, 2], 2 * expected[:, 1])


@pytest.fixture
def folder(tmp_path):
    """The shipped vintages from 2013 on."""
    for year in (2013, 2015, 2017):
        for path in SHIPPED.glob(f"*-{year}-06*"):
            shutil.copy(path, tmp_path)
    return tmp_path


def test_the_newest_regressions_and_pretrained_network_that_end_before_the_day_are_chosen():
    for day, through in (
        ("1999-07-01", "1999-06-30"),
        ("2001-06-29", "1999-06-30"),
        ("2001-06-30", "2001-06-29"),
        ("2030-01-01", "2017-06-30"),
    ):
        found = VintageSet.ending_before(date.fromisoformat(day))
        assert {str(each.through) for each in (*found.complete, found)} == {through}
        assert found.reasons == {}


def test_all_nights_of_a_backtest_see_the_vintages_that_it_began_with(folder):
    with vintage_cache():
        began_with = VintageSet.ending_before(LATER, [folder])
        for path in folder.glob("*-2017-06*"):
            path.unlink()
        assert vars(VintageSet.ending_before(LATER, (folder,))) == vars(began_with)
    assert VintageSet.ending_before(LATER, [folder]).through == date(2015, 6, 30)


def test_before_the_oldest_vintage_there_is_none_and_the_reason_says_so(tmp_path):
    found = VintageSet.ending_before(EARLIER)
    assert found.through is None
    assert found.identity() == {"regression": None, "ridge": None, "pretrained": None}
    assert VintageSet.from_identity(found.identity(), []).identity() == found.identity()
    [reason] = found.reasons.values()
    assert "regression ends before 1999-06-30: the oldest has seen sessions through" in reason
    assert "none" in VintageSet.ending_before(LATER, [tmp_path]).reasons["regression"]
    assert (oldest_through(), oldest_through([tmp_path])) == (date(1999, 6, 30), None)
    (tmp_path / "regression-1998-06.json").write_text("{ broken")
    assert oldest_through([SHIPPED, tmp_path]) == date(1999, 6, 30), "a damaged vintage is skipped"


def test_without_a_vintage_the_forecast_is_a_normal_with_the_ewma_60_as_volatility():
    series, at, vintages = walk(300), np.array([25, 299]), VintageSet.ending_before(EARLIER)
    expected = Volatilities.of(series).ewma_60[at, None, None] * np.sqrt(ALL)[:, None]
    found = vintages.simple_quantiles(series, at, ALL)
    np.testing.assert_allclose(found, expected * ndtri(LEVELS))
    with pytest.raises(TooFewBars):
        vintages.simple_quantiles(series, np.array([19]), ALL)


@pytest.mark.parametrize("kind", ["regression", "ridge", "pretrained"])
def test_a_damaged_file_is_named_and_the_next_older_one_is_used_or_two_are_named(folder, kind):
    older, before, newest = sorted(folder.glob(vintage_store.KINDS[kind].pattern))
    newest.write_bytes(newest.read_bytes()[:-40])
    found = VintageSet.ending_before(LATER, [folder])
    assert found.reasons.keys() == {kind}
    assert str(newest) in found.reasons[kind]
    each = {name: getattr(found, name).through.year for name in found.identity()}
    assert each == {"regression": 2017, "ridge": 2017, "pretrained": 2017} | {kind: 2015}
    assert found.through == date(2017, 6, 30)
    for damaged in (older, before):
        damaged.write_bytes(b"")
    without = VintageSet.ending_before(LATER, [folder])
    assert getattr(without, kind) is None
    assert [str(path) in without.reasons[kind] for path in (newest, before, older)] == [1, 1, 0]


def test_without_a_ridge_regression_there_is_no_network_and_the_regression_forecasts(folder):
    for path in folder.glob("ridge-*"):
        path.unlink()
    found, series, at = VintageSet.ending_before(LATER, [folder]), walk(300), np.array([25, 299])
    assert (found.ridge, found.pretrained, found.reasons.keys()) == (None, None, {"ridge"})
    assert VintageSet.from_identity(found.identity(), [folder]).identity() == found.identity()
    quantiles = found.simple_quantiles(series, at, LONG)
    check_extended(quantiles, found.regression.quantiles(series, at, LONG[:2]))


def test_folders_count_as_one_and_a_pool_is_found_again_by_name_and_content(folder, tmp_path):
    own = tmp_path / "a home's"  # by its path, before the other
    own.mkdir()
    newest = folder / "network-2017-06.npz"
    newest.rename(own / newest.name)
    found = VintageSet.ending_before(LATER, [folder, own])
    identity = found.identity()
    newest.write_bytes(b"damaged")
    again = VintageSet.from_identity(identity, [tmp_path / "absent", folder, own])
    assert again.identity() == identity
    assert again.pretrained is found.pretrained, "each file is read only once"
    assert file_of(str(identity["pretrained"]), [folder, own]) == own / newest.name
    with pytest.raises(InvalidFile, match=r"network-2017-06.*cannot be read .* from a backup"):
        VintageSet.from_identity(identity, [folder])
    newest.unlink()
    with pytest.raises(InvalidFile, match=r"network-2017-06.*SHA-256.*found none in"):
        VintageSet.from_identity(identity, [folder])
    other = {**identity, "pretrained": f"{newest.name} {'0' * 64}"}
    with pytest.raises(InvalidFile, match="found another of that name"):
        VintageSet.from_identity(other, [folder, own])
    with pytest.raises(OtherVersion):
        VintageSet.from_identity(other, [SHIPPED])


def test_a_superseded_vintage_is_still_found_by_models_that_name_it(folder):
    before = VintageSet.ending_before(LATER, [folder])
    older = vintage_store.read(folder / "network-2015-06.npz")
    after = replace(older, through=before.pretrained.through)
    for _ in range(2):
        keep_superseded(folder, after)
        vintage_store.write(after, folder)
    # relearning the same pretrained network keeps no second copy
    [kept] = folder.rglob("*/network-*.npz")
    now = VintageSet.ending_before(LATER, [folder]).identity()
    assert now != before.identity(), "new content under the same name is noticed at once"
    assert VintageSet.from_identity(before.identity(), [folder]).identity() == before.identity()
    kept.unlink()
    with pytest.raises(InvalidFile, match="network-2017-06"):
        VintageSet.from_identity(before.identity(), [folder])


def test_the_hash_of_a_days_vintages_changes_with_every_vintage_that_ends_by_then(folder):
    days = [date(2013, 6, 1), date(2014, 1, 1), date(2016, 1, 1), date(2017, 6, 30)]
    known = [vintages_sha256(day, folder) for day in days]
    assert known[0] == ""
    assert len({*known}) == 4
    (folder / "network-2017-06.npz").write_bytes(b"damaged")
    assert [vintages_sha256(day, folder) for day in days[:3]] == known[:3]
    assert vintages_sha256(days[3], folder) != known[3]


def test_quantiles_are_those_of_the_pretrained_network_or_of_the_ridge_regression():
    asked, vintages = (walk(400), np.array([100, 399])), VintageSet.ending_before(LATER)
    regression, ridge, pretrained = vintages.complete
    expected = pretrained.quantiles(*asked, LONG[:2], regression, ridge)
    check_extended(vintages.network_quantiles(*asked, LONG), expected)
    expected = ridge.quantiles(*asked, LONG[:2], regression)
    check_extended(vintages.simple_quantiles(*asked, LONG), expected)
