"""The series that a night's model sees, and what makes it another night besides the bars; none
without its own bar."""

import shutil

import pytest

from stockml.errors import NoBars
from stockml.home import HomePaths
from stockml.models.vintage_store import SHIPPED
from stockml.nights import states
from stockml.nights.dataset import renormalise, side_inputs_sha256
from stockml.nights.ingest import why_no_forecast
from tests.stockml.nights.test_data_notes import DAYS, IBM, append


def test_a_vintage_learned_by_a_nights_session_makes_it_another_night_and_a_later_one_does_not(
    home: HomePaths,
) -> None:
    receipt = append(home, IBM)
    before = renormalise(home, receipt, calendar=None)
    beside = side_inputs_sha256(home, receipt.ticker, receipt.session)
    home.pretrained.mkdir()
    shutil.copy(SHIPPED / "regression-2011-06.json", home.pretrained)
    after = renormalise(home, receipt, calendar=None)
    assert after.sha256 == before.sha256
    assert after.identity() != before.identity()
    assert side_inputs_sha256(home, receipt.ticker, receipt.session) != beside
    (home.pretrained / "regression-2011-06.json").unlink()
    shutil.copy(SHIPPED / "regression-2017-06.json", home.pretrained)
    assert renormalise(home, receipt, calendar=None) == before


def test_a_night_whose_own_bar_is_not_believed_makes_no_dataset(home: HomePaths) -> None:
    bars = IBM.copy()
    bars.iloc[-1, :4] *= 100
    receipt = append(home, bars)
    status = why_no_forecast(home, receipt, None, 1)
    assert status
    assert status.state == states.SET_ASIDE
    assert f"`stockml bars IBM --accept {DAYS[-1]}`" in status.text
    with pytest.raises(NoBars, match=f"no bar of {DAYS[-1]}"):
        renormalise(home, receipt, calendar=None)
    whole = append(home, IBM, 1)
    assert why_no_forecast(home, whole, None, len(IBM)) is None
    too_few = why_no_forecast(home, whole, None, len(IBM) + 1)
    assert too_few
    assert too_few.state == states.TOO_FEW_SESSIONS
