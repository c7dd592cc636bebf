"""A date chooses the vintages; a missing or damaged one is named, and what remains still
forecasts."""

import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtri

from stockml.errors import InvalidFile, OtherVersion, TooFewBars
from stockml.features.origins import within_segment
from stockml.features.volatility import Volatilities
from stockml.models import vintage_store
from stockml.models.lead_grid import LEVELS
from stockml.models.vintage_set import (
    VintageSet,
    file_of,
    keep_superseded,
    oldest_through,
    vintage_cache,
    vintages_sha256,
)
from stockml.models.vintage_store import SHIPPED
from stockml.prices.series import PriceSeries
from tests.support.walks import begins_tenfold, constant, hole_of_a_year, walk

ALL = np.arange(1, 61)
LATER, EARLIER = date(2018, 1, 1), date(1999, 6, 30)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The shipped vintages from 2013 on."""
    for path in (
        *SHIPPED.glob("*-2013-06*"),
        *SHIPPED.glob("*-2015-06*"),
        *SHIPPED.glob("*-2017-06*"),
    ):
        shutil.copy(path, tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("day", "through"),
    [
        ("1999-07-01", "1999-06-30"),
        ("2001-06-29", "1999-06-30"),
        ("2001-06-30", "2001-06-29"),
        ("2011-11-01", "2011-06-30"),
        ("2030-01-01", "2017-06-30"),
    ],
)
def test_the_newest_regressions_and_pretrained_network_that_end_before_the_day_are_chosen(
    day: str, through: str
) -> None:
    found = VintageSet.ending_before(date.fromisoformat(day))
    assert found.regression is not None
    assert found.ridge is not None
    assert found.pretrained is not None
    expected = date.fromisoformat(through)
    assert (
        found.regression.through
        == found.ridge.through
        == found.pretrained.through
        == found.through
        == expected
    )
    assert found.reasons == {}


def test_all_nights_of_a_backtest_see_the_vintages_that_it_began_with(folder: Path) -> None:
    with vintage_cache():
        began_with = VintageSet.ending_before(LATER, [folder])
        for path in folder.glob("*-2017-06*"):
            path.unlink()
        assert vars(VintageSet.ending_before(LATER, (folder,))) == vars(began_with)
    assert VintageSet.ending_before(LATER, [folder]).through == date(2015, 6, 30)


def test_before_the_oldest_vintage_there_is_none_and_the_reason_says_so(tmp_path: Path) -> None:
    found = VintageSet.ending_before(EARLIER)
    assert (found.regression, found.pretrained, found.through) == (None, None, None)
    assert found.identity() == {"regression": None, "ridge": None, "pretrained": None}
    (reason,) = found.reasons.values()
    assert (
        reason
        == "no regression ends before 1999-06-30: the oldest has seen sessions through 1999-06-30"
    )
    assert (
        VintageSet.ending_before(LATER, [tmp_path]).reasons["regression"].endswith("there is none")
    )
    assert (oldest_through(), oldest_through([tmp_path])) == (date(1999, 6, 30), None)
    (tmp_path / "regression-1998-06.json").write_text("{ broken")
    assert oldest_through([SHIPPED, tmp_path]) == date(1999, 6, 30), "a damaged vintage is skipped"


def test_without_a_vintage_the_forecast_is_a_normal_with_the_ewma_60_as_volatility() -> None:
    series, at = walk(300), np.array([25, 299])
    found = VintageSet.ending_before(EARLIER).simple_quantiles(series, at, ALL)
    expected = (
        Volatilities.of(series).ewma_60[at][:, None, None] * np.sqrt(ALL)[:, None] * ndtri(LEVELS)
    )
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize(
    ("kind", "left"),
    [("regression", "regression"), ("ridge", "ridge"), ("network", "pretrained")],
)
def test_a_damaged_file_is_named_and_the_next_older_one_is_used(
    folder: Path, kind: str, left: str
) -> None:
    (damaged,) = folder.glob(f"{kind}-2017-06*")
    damaged.write_bytes(damaged.read_bytes()[:-40])
    found = VintageSet.ending_before(LATER, [folder])
    assert found.reasons.keys() == {left}
    assert str(damaged) in found.reasons[left]
    assert getattr(found, left).through.year == 2015
    assert found.regression is not None
    assert found.ridge is not None
    assert found.pretrained is not None
    assert (
        sum(each.through.year for each in (found.regression, found.ridge, found.pretrained))
        == 2017 + 2017 + 2015
    )
    assert found.through == date(2017, 6, 30)
    oldest, *newer = sorted(folder.glob("network-*"))
    for path in newer:
        path.write_bytes(b"")
    assert "more" not in VintageSet.ending_before(LATER, [folder]).reasons["pretrained"]
    oldest.write_bytes(b"")
    without = VintageSet.ending_before(LATER, [folder])
    assert without.pretrained is None
    assert without.regression is not None
    assert without.reasons["pretrained"].count("network-") == 2
    assert "; and 1 more that cannot be read; " in without.reasons["pretrained"]
    assert "no pretrained network ends before 2018-01-01" in without.reasons["pretrained"]


def test_without_a_ridge_regression_there_is_no_network_and_the_regression_forecasts(
    folder: Path,
) -> None:
    for path in folder.glob("ridge-*"):
        path.unlink()
    found, series, at = VintageSet.ending_before(LATER, [folder]), walk(300), np.array([25, 299])
    assert found.reasons == {"ridge": "no ridge regression ends before 2018-01-01: there is none"}
    assert (found.ridge, found.pretrained) == (None, None)
    assert found.regression is not None
    assert found.identity()["ridge"] is None
    assert VintageSet.from_identity(found.identity(), [folder]).identity() == found.identity()
    leads = ALL[:50]
    np.testing.assert_array_equal(
        found.simple_quantiles(series, at, leads), found.regression.quantiles(series, at, leads)
    )
    np.testing.assert_allclose(
        found.simple_quantiles(series, at, np.array([200])),
        2 * found.simple_quantiles(series, at, leads[-1:]),
    )


def test_folders_count_as_one_and_a_pool_is_found_again_by_name_and_content(
    folder: Path, tmp_path: Path
) -> None:
    own = tmp_path / "a home's"  # by its path, before the other
    own.mkdir()
    (newest,) = folder.glob("network-2017-06*")
    newest.rename(own / newest.name)
    found = VintageSet.ending_before(LATER, [folder, own])
    assert found.pretrained is not None
    assert found.pretrained.through.year == 2017
    again = VintageSet.from_identity(found.identity(), [tmp_path / "absent", own, folder])
    assert again.identity() == found.identity()
    assert (again.ridge, again.pretrained) == (found.ridge, found.pretrained), (
        "each file is read only once"
    )
    assert file_of(str(found.identity()["pretrained"]), [folder, own]) == own / newest.name
    (folder / newest.name).write_bytes(b"damaged")
    assert file_of(str(found.identity()["pretrained"]), [folder, own]) == own / newest.name
    damaged = r"network-2017-06.*found a file that cannot be read .*; restore it from a backup, or retrain"
    with pytest.raises(InvalidFile, match=damaged):
        VintageSet.from_identity(found.identity(), [folder])
    (folder / newest.name).unlink()
    missing = r"network-2017-06.*expected content of SHA-256.*found none in.*; restore it from a backup, or retrain"
    with pytest.raises(InvalidFile, match=missing):
        VintageSet.from_identity(found.identity(), [folder])
    other = {**found.identity(), "pretrained": f"{newest.name} {'0' * 64}"}
    with pytest.raises(
        InvalidFile, match="found another of that name, as another version of stockml has it"
    ):
        VintageSet.from_identity(other, [folder, own])
    with pytest.raises(OtherVersion) as upgraded:
        VintageSet.from_identity(other, [vintage_store.SHIPPED])
    briefly = (
        f"expected the {newest.name} it was built on, found that of another version of stockml"
    )
    assert str(upgraded.value) == f"{briefly}; its next night trains anew"
    nothing = VintageSet.ending_before(EARLIER)
    assert VintageSet.from_identity(nothing.identity(), []).identity() == nothing.identity()
    assert nothing.files([]) == ()


def test_new_content_under_the_same_name_is_noticed_at_once_and_is_another_pool(
    folder: Path,
) -> None:
    before, older = (
        VintageSet.ending_before(LATER, [folder]),
        vintage_store.read(next(folder.glob("network-2015-06*"))),
    )
    assert before.pretrained is not None
    vintage_store.write(replace(older, through=before.pretrained.through), folder)
    after = VintageSet.ending_before(LATER, [folder])
    assert after.identity()["regression"] == before.identity()["regression"]
    assert after.identity()["pretrained"] != before.identity()["pretrained"]
    with pytest.raises(InvalidFile, match="network-2017-06"):
        VintageSet.from_identity(before.identity(), [folder])


def test_a_superseded_vintage_is_still_found_by_models_that_name_it(folder: Path) -> None:
    before, older = (
        VintageSet.ending_before(LATER, [folder]),
        vintage_store.read(next(folder.glob("network-2015-06*"))),
    )
    assert before.pretrained is not None
    for _ in range(2):
        after = replace(older, through=before.pretrained.through)
        keep_superseded(folder, after)
        vintage_store.write(after, folder)
    # relearning the same pretrained network keeps no second copy
    [kept] = folder.rglob("*/network-*.npz")
    name, sha256 = str(before.identity()["pretrained"]).split()
    assert kept == folder / "superseded" / sha256[:16] / name
    assert VintageSet.ending_before(LATER, [folder]).identity() != before.identity()
    assert VintageSet.from_identity(before.identity(), [folder]).identity() == before.identity()


def test_the_hash_of_a_days_vintages_changes_with_every_vintage_that_ends_by_then(
    folder: Path,
) -> None:
    # itself, which a night may use
    days = [
        date(2013, 6, 1),
        date(2014, 1, 1),
        date(2016, 1, 1),
        date(2017, 6, 30),
    ]
    known = [vintages_sha256(day, folder) for day in days]
    assert known[0] == ""
    assert len({*known}) == 4
    next(folder.glob("network-2017-06*")).write_bytes(b"damaged")
    assert [vintages_sha256(day, folder) for day in days[:3]] == known[:3]
    assert vintages_sha256(days[3], folder) != known[3]
    assert vintages_sha256(days[3], folder / "absent") == ""


@pytest.mark.parametrize("series", [constant(), begins_tenfold(), hole_of_a_year(), walk(100)])
def test_quantiles_are_finite_and_rise_whatever_the_prices(series: PriceSeries) -> None:
    at, vintages = (
        within_segment(series, np.arange(21, len(series), 97), 0),
        VintageSet.ending_before(LATER),
    )
    for found in (
        vintages.simple_quantiles(series, at, ALL),
        vintages.network_quantiles(series, at, ALL),
        VintageSet.ending_before(EARLIER).simple_quantiles(series, at, ALL),
    ):
        assert found.shape == (len(at), 60, 21)
        assert np.isfinite(found).all()
        assert (np.diff(found, axis=-1) > 0).all()


def test_less_than_a_month_of_history_is_refused_with_and_without_a_vintage() -> None:
    for vintages in (VintageSet.ending_before(LATER), VintageSet.ending_before(EARLIER)):
        with pytest.raises(TooFewBars):
            vintages.simple_quantiles(walk(100), np.array([19]), ALL)


def test_beyond_the_longest_learned_lead_the_width_grows_with_the_square_root_of_time() -> None:
    series, at, leads, vintages = (
        walk(400),
        np.array([100, 399]),
        np.array([1, 50, 200]),
        VintageSet.ending_before(LATER),
    )
    for found in (
        vintages.simple_quantiles(series, at, leads),
        vintages.network_quantiles(series, at, leads),
    ):
        np.testing.assert_allclose(found[:, 2], 2 * found[:, 1])


def test_the_networks_quantiles_are_those_of_the_pretrained_or_of_a_fine_tuned_network() -> None:
    series, at, leads, vintages = (
        walk(400),
        np.array([100, 399]),
        ALL[:50],
        VintageSet.ending_before(LATER),
    )
    assert vintages.pretrained is not None
    assert vintages.regression is not None
    assert vintages.ridge is not None
    other = vintages.pretrained.with_arrays(
        [np.float32(1.1) * array for array in vintages.pretrained.arrays()]
    )
    for network, asked in ((vintages.pretrained, None), (other, other)):
        expected = network.quantiles(series, at, leads, vintages.regression, vintages.ridge)
        np.testing.assert_array_equal(
            vintages.network_quantiles(series, at, leads, asked), expected
        )
    np.testing.assert_allclose(
        vintages.simple_quantiles(series, at, leads),
        vintages.ridge.quantiles(series, at, leads, vintages.regression),
    )
