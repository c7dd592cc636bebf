"""A night's record is kept whole, byte for byte the same, and nothing else is taken for one."""

import json
from dataclasses import replace
from datetime import UTC
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stockml.errors import InvalidFile
from stockml.evaluation.distribution_scores import CrpsComparison, DistributionScore
from stockml.evaluation.distribution_table import DistributionTable
from stockml.evaluation.metrics import Comparison, Direction, Evaluation, OneStep, Score
from stockml.evaluation.promotion_gate import Verdict
from stockml.evaluation.significance import DieboldMariano, Interval
from stockml.forecasts.forecast import Band, Forecast
from stockml.nights.record import Night, night_path, put_aside, read_night, write_night
from stockml.storage.receipts import ModelReceipt, RunReceipt
from tasks.steps import promote
from tests.support.nights import recorded_night


def skipped() -> Night:
    return replace(
        recorded_night(),
        status="skipped",
        mode="",
        reason="quota: 25 requests a day",
        evaluation=None,
        metrics={},
        history=(),
        verdict=None,
        forecast=None,
        distributions=None,
        publisher="",
    )


@pytest.mark.parametrize("night", [recorded_night(), skipped()], ids=["completed", "skipped"])
def test_a_night_is_read_as_it_was_written(night: Night, tmp_path: Path) -> None:
    path = night_path(tmp_path, night.ticker, night.key)
    write_night(night, path)
    found = read_night(path)
    assert replace(found, settings={}, history=()) == replace(night, settings={}, history=())
    assert [dict(row) for row in found.history] == [dict(row) for row in night.history]
    assert {name: _listed(value) for name, value in night.settings.items()} == found.settings


FINITE = st.floats(allow_nan=False, allow_infinity=False)
FIGURE = st.none() | FINITE
FIGURES = st.dictionaries(st.text(), FINITE, max_size=3)
PRICES = st.lists(FINITE, max_size=3).map(tuple)
TEXT = st.text(max_size=5)
TEXT_OR_NONE = st.none() | TEXT
FORECASTS = st.builds(
    Forecast,
    last_value=FINITE,
    sessions=st.lists(st.dates(), max_size=3).map(tuple),
    path=PRICES,
    bands=st.lists(st.builds(Band, low=PRICES, high=PRICES), max_size=2).map(tuple),
    probability_of_rise=FINITE,
    weights=PRICES,
    last_close=FIGURE,
)
SCORES = st.builds(
    Score,
    *[FIGURE] * 6,
    st.dictionaries(TEXT, FIGURE, max_size=3),
    st.lists(FIGURE, max_size=3).map(tuple),
    st.builds(Direction, FIGURE, FIGURE, FIGURE),
)
TESTS = st.builds(DieboldMariano, FINITE, FINITE, FINITE, st.none() | st.integers(1, 2_000))
EVALUATIONS = st.builds(
    Evaluation,
    scores=st.dictionaries(TEXT, SCORES, max_size=2),
    one_step=st.dictionaries(TEXT, st.builds(OneStep, *[FIGURE] * 4), max_size=2),
    comparisons=st.lists(
        st.builds(
            Comparison,
            skill_difference=FIGURE,
            interval=st.none() | st.builds(Interval, FINITE, FINITE),
            test=st.none() | TESTS,
        ),
        max_size=2,
    ).map(tuple),
)
FLOATS = st.lists(FINITE, max_size=3).map(tuple)
COMPARED = st.builds(
    CrpsComparison,
    skill=FINITE,
    skill_by_lead=FLOATS,
    test=st.none() | TESTS,
)
DISTRIBUTIONS = st.builds(
    DistributionTable,
    scores=st.dictionaries(
        TEXT,
        st.builds(
            DistributionScore,
            crps=FINITE,
            crps_by_lead=FLOATS,
            coverage=FIGURES,
            coverage_by_lead=st.dictionaries(TEXT, FLOATS, max_size=2),
            interval_scores=FIGURES,
        ),
        max_size=2,
    ),
    widths=st.dictionaries(TEXT, COMPARED, max_size=2),
    whole=st.dictionaries(TEXT, COMPARED, max_size=2),
    against_champion=st.none() | COMPARED,
    network_adds=st.none() | COMPARED,
    through=st.none() | st.dates(),
)
NIGHTS = st.builds(
    Night,
    finished_at=st.datetimes(timezones=st.just(UTC)),
    settings=st.dictionaries(TEXT, TEXT | st.integers() | FINITE | st.lists(st.integers()), max_size=3),
    status=st.sampled_from(["completed", "skipped"]),
    evaluation=st.none() | EVALUATIONS,
    metrics=FIGURES,
    history=st.lists(st.dictionaries(TEXT, TEXT | FIGURE, max_size=3), max_size=2).map(tuple),
    verdict=st.none() | st.builds(Verdict, numbers=FIGURES),
    forecast=st.none() | FORECASTS,
    distributions=st.none() | DISTRIBUTIONS,
    publisher=TEXT,
    seconds=FINITE,
    mlflow_run_id=TEXT_OR_NONE,
)


@settings(deadline=None)  # the first example makes the reader of records
@given(night=NIGHTS)
def test_any_night_is_read_as_it_was_written(night: Night, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("night") / "night.json"
    write_night(night, path)
    assert read_night(path) == night


def test_a_night_of_one_weight_for_all_leads_can_still_be_read(tmp_path: Path) -> None:
    write_night(recorded_night(), tmp_path / "new")
    kept = json.loads((tmp_path / "new").read_text())
    kept["forecast"]["weight"] = 0.25
    del kept["forecast"]["weights"], kept["crc32"]
    (tmp_path / "old").write_text(json.dumps(kept))
    forecast = read_night(tmp_path / "old").forecast
    assert forecast
    assert forecast.weights == (0.25,) * len(forecast.path)


def test_a_night_of_before_the_last_close_and_the_distributions_can_still_be_read(tmp_path: Path) -> None:
    write_night(recorded_night(), tmp_path / "new")
    kept = json.loads((tmp_path / "new").read_text())
    del kept["distributions"], kept["publisher"], kept["forecast"]["last_close"], kept["crc32"]
    (tmp_path / "old").write_text(json.dumps(kept))
    night = read_night(tmp_path / "old")
    assert night.forecast
    assert (night.distributions, night.publisher, night.forecast.last_close) == (None, "", None)
    assert night.forecast.now == night.forecast.last_value


def test_the_same_night_gives_the_same_bytes(tmp_path: Path) -> None:
    write_night(recorded_night(), tmp_path / "a")
    write_night(read_night(tmp_path / "a"), tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"ticker": "IBM"}', json.dumps({"session": "yesterday"}), "\xff"])
def test_what_is_not_a_night_is_an_error_that_names_the_file(content: str, tmp_path: Path) -> None:
    (tmp_path / "night.json").write_text(content)
    with pytest.raises(InvalidFile, match=r"night\.json: expected a night's record"):
        read_night(tmp_path / "night.json")


@pytest.mark.parametrize("change", [(b"fine-tune", b"fine-tuna"), (b'"crc32": "', b'"crc32": "0'), (b"crc3", b"crc4")])
def test_a_night_that_is_not_as_it_was_written_is_named(change: tuple[bytes, bytes], tmp_path: Path) -> None:
    write_night(recorded_night(), path := tmp_path / "night.json")
    path.write_bytes(path.read_bytes().replace(*change))
    with pytest.raises(InvalidFile, match=r"night\.json: expected a night's record.*restore it from a backup"):
        read_night(path)


def test_a_damaged_record_is_put_aside_and_not_overwritten(tmp_path: Path) -> None:
    put_aside(tmp_path / "night.json")
    (tmp_path / "night.json").write_bytes(b"damaged")
    put_aside(tmp_path / "night.json")
    assert [path.read_bytes() for path in tmp_path.glob("*")] == [b"damaged"]
    assert not (tmp_path / "night.json").exists()


def test_a_night_without_a_verdict_makes_no_champion(tmp_path: Path) -> None:
    write_night(skipped(), path := tmp_path / "night.json")
    model = ModelReceipt("IBM", str(tmp_path), "", skipped().session, "retrain", "asked for")
    run = RunReceipt("IBM", str(path), "", skipped().key, run_id=None, model_version=None)
    with pytest.raises(InvalidFile, match=r"night\.json: expected the gate's verdict"):
        promote.fn(model, run, skipped().finished_at)


def test_a_night_is_kept_under_its_ticker_and_key(tmp_path: Path) -> None:
    night = recorded_night()
    assert night_path(tmp_path, "IBM", night.key) == tmp_path / "IBM" / night.key[:16] / "night.json"


def test_a_run_is_named_by_ticker_session_and_mode() -> None:
    assert recorded_night().run_name == "IBM 2013-02-28 fine-tune"


def _listed(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
