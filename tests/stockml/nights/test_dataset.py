"""The series that a night's model sees, and what makes it another night besides the bars; none
without its own bar."""

import shutil
from pathlib import Path

import pytest

from stockml.code_version import PACKAGE
from stockml.errors import NoBars
from stockml.home import HomePaths
from stockml.models.vintage_store import SHIPPED
from stockml.nights.dataset import renormalise, side_inputs_sha256
from stockml.nights.ingest import why_no_forecast
from stockml.nights.night_key import night_key
from stockml.settings import Settings
from tests.stockml.nights.test_data_notes import DAYS, IBM, append
from tests.support.copied_code import copied, run_on

TONIGHT = """
import json
from stockml.home import current_home
from tests.stockml.nights.test_dataset import tonight
print(json.dumps(tonight(current_home())))
"""


def test_a_vintage_learned_by_a_nights_session_makes_it_another_night_and_a_later_one_does_not(
    home: HomePaths,
) -> None:
    receipt = append(home, IBM)
    before, beside = (
        renormalise(home, receipt, calendar=None),
        side_inputs_sha256(home, receipt.ticker, receipt.session),
    )
    home.pretrained.mkdir()
    shutil.copy(SHIPPED / "regression-2011-06.json", home.pretrained)
    after = renormalise(home, receipt, calendar=None)
    assert after.sha256 == before.sha256
    assert after.identity() != before.identity()
    assert side_inputs_sha256(home, receipt.ticker, receipt.session) != beside
    assert night_key(after, Settings()) != night_key(before, Settings())
    (home.pretrained / "regression-2011-06.json").unlink()
    shutil.copy(SHIPPED / "regression-2017-06.json", home.pretrained)
    assert renormalise(home, receipt, calendar=None) == before


def tonight(home: HomePaths) -> list[str]:
    """The SHA-256 of IBM's dataset, its pretrained networks, what it rests on besides the bars, and
    the night's key."""
    receipt = append(home, IBM)
    made, beside = (
        renormalise(home, receipt, calendar=None),
        side_inputs_sha256(home, receipt.ticker, receipt.session),
    )
    return [made.sha256, made.identity()[-1], beside, night_key(made, Settings())]


@pytest.mark.slow
def test_a_changed_shipped_vintage_makes_another_night(home: HomePaths, tmp_path: Path) -> None:
    before, copy = tonight(home), copied(tmp_path)
    assert run_on(copy, TONIGHT) == before
    (copy / SHIPPED.relative_to(PACKAGE) / "regression-2011-06.json").unlink()
    after = run_on(copy, TONIGHT)
    assert [now == then for now, then in zip(after, before, strict=True)] == [
        True,
        False,
        False,
        False,
    ]


def test_a_night_whose_own_bar_is_not_believed_makes_no_dataset(home: HomePaths) -> None:
    bars = IBM.copy()
    bars.iloc[-1, :4] *= 100
    receipt = append(home, bars)
    said = str(why_no_forecast(home, receipt, None, 1))
    assert "times the close before" in said
    assert said.endswith(
        f"the forecast before it, if any, stands; `stockml bars IBM --accept {DAYS[-1]}` if it is "
        "right"
    )
    with pytest.raises(NoBars, match=f"no bar of {DAYS[-1]} that is believed"):
        renormalise(home, receipt, calendar=None)
    assert why_no_forecast(home, whole := append(home, IBM, 1), None, len(IBM)) is None
    assert f"expected at least {len(IBM) + 1} sessions" in str(
        why_no_forecast(home, whole, None, len(IBM) + 1)
    )
