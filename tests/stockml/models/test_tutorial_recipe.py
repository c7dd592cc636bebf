"""The tutorial's recipe in numbers: each part against a naive loop, and its first known leak, named
as one."""

from dataclasses import replace

import numpy as np
import pytest

from stockml.errors import TooFewBars
from stockml.models import tutorial_recipe as recipe
from stockml.models.tutorial_recipe import Streams, TutorialScale, learning_rate, prepare, windows
from stockml.settings import tutorial_settings
from stockml.storage.arrays import Floats
from stockml.training.tutorial import Recipe
from tests.support.kaggle import kaggle_mid
from tests.support.walks import walk


def random_prices(n: int, seed: int = 0) -> Floats:
    return 20 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.02, n)))


def naive_read(values: Floats, cursors: list[int], draws: Floats) -> tuple[list, list]:
    """The tutorial's generator, one stream and one step at a time, with the same random draws."""
    unrolled, streams, _ = draws.shape
    readable = len(values) - unrolled
    segment = readable // streams
    points, labels = [], []
    for step in range(unrolled):
        for stream in range(streams):
            restart, reach = draws[step, stream]
            if cursors[stream] + 1 >= readable:
                cursors[stream] = int(restart * (stream + 1) * segment)
            points.append(values[cursors[stream]])
            labels.append(values[cursors[stream] + 1 + int(reach * 4)])
            cursors[stream] = (cursors[stream] + 1) % readable
    return points, labels


@pytest.mark.parametrize(
    ("n", "count", "unrolled"), [(110, 4, 10), (333, 7, 5), (60, 50, 10), (997, 3, 50)]
)
def test_streams_read_what_the_tutorials_loop_reads(n: int, count: int, unrolled: int) -> None:
    values = random_prices(n)
    streams, rng = Streams.of(values, count, unrolled), np.random.default_rng(1)
    cursors = [stream * ((n - unrolled) // count) for stream in range(count)]
    for _ in range(3 * n // unrolled):
        draws = rng.random((unrolled, count, 2))
        at, labels_at, streams = streams.places(draws)
        points, labels = naive_read(values, cursors, draws)
        assert values[at].ravel().tolist() == points
        assert values[labels_at].ravel().tolist() == labels
        assert streams.cursors.tolist() == cursors


def test_the_series_is_scaled_in_windows_and_smoothed_as_in_the_tutorials_loop() -> None:
    mid = random_prices(6_400)
    expected = mid.copy()
    for begin in (0, 2_500, 5_000):
        part = mid[begin : min(begin + 2_500, 5_830)]
        expected[begin : begin + len(part)] = (part - part.min()) / (part.max() - part.min())
    expected[5_830:] = (mid[5_830:] - part.min()) / (part.max() - part.min())
    mean = 0.0
    for t in range(5_830):
        mean = 0.1 * expected[t] + 0.9 * mean
        expected[t] = mean
    prepared = prepare(mid, 5_830)
    assert prepared.values == pytest.approx(expected, abs=1e-12)
    at = np.array([5_900, 6_000])
    assert prepared.prices(at, prepared.values[at, None])[:, 0] == pytest.approx(mid[at])


def test_a_window_in_which_no_price_moved_is_scaled_by_that_price() -> None:
    halted = np.concatenate([np.full(2_700, 7.0), 7.0 + np.arange(300.0)])
    prepared, at = prepare(halted, 2_700), np.array([2_700, 2_999])
    assert prepared.values[[0, *at]] == pytest.approx([0.0, 0.0, 299 / 7])
    assert prepared.prices(at, prepared.values[at, None])[:, 0] == pytest.approx(halted[at])
    series = replace(walk(3_000), high=halted, low=halted)
    assert TutorialScale.of(prepared, series.sessions).drift(series) == pytest.approx(2 * 299 / 7)


def test_windows_hold_2500_points_and_a_short_remainder_joins_the_last() -> None:
    for train_end, last in ((11_000, 10_000), (10_999, 10_000), (10_100, 7_500), (901, 0)):
        assert windows(train_end).tolist() == list(range(0, last + 1, 2_500))


def test_starts_are_the_tutorials_20_and_leave_room_for_their_outcomes() -> None:
    assert [recipe.train_length(n) for n in (12_075, 14_059, 989)] == [11_000, 12_807, 901]
    assert recipe.starts(11_000, 12_075, 50).tolist() == list(range(11_000, 12_000, 50))
    assert recipe.starts(901, 989, 50).tolist() == [901]
    assert recipe.starts(901, 940, 50).tolist() == []


def test_the_rate_is_halved_after_more_than_two_epochs_without_improvement_down_to_its_floor() -> (
    None
):
    losses = (5.0, 4.0, 4.1, 4.0, 4.2, 4.3, 4.3, 4.3, 4.3, 4.3)
    rates = [learning_rate(1e-4, losses[:epochs]) for epochs in range(1, len(losses) + 1)]
    # the second 4.0 is no worse than the best, so the count restarts, as in the tutorial
    assert rates == [1e-4] * 6 + [5e-5] * 3 + [2.5e-5]
    assert learning_rate(1e-4, (*losses, *[9.0] * 100)) == 1e-6


def test_on_hpq_the_baselines_are_the_published_ones() -> None:
    mid = kaggle_mid("hpq")
    prepared = prepare(mid, recipe.train_length(len(mid)))
    assert prepared.train_end == 11_000
    found = recipe.one_step_errors(prepared)
    assert f"{found['standard average']:.5f} {found['EMA']:.5f}" == "0.00418 0.00003"
    at = recipe.starts(11_000, len(mid), 50)
    assert f"{recipe.path_errors(prepared, at, 50)['last value']:.5f}" == "0.00268"


def test_the_49_points_fed_before_a_start_are_those_of_the_page_or_it_is_refused() -> None:
    """The page's loop: range(w - 50 + 1, w - 1), then w - 1."""
    values, at = np.arange(12_000.0), np.array([49, 11_000])
    fed = recipe.input_windows(values, at, 50)
    assert fed.tolist() == [[*range(w - 50 + 1, w - 1), w - 1] for w in at.tolist()]
    with pytest.raises(TooFewBars, match=r"at least 49 .* found 48"):
        recipe.input_windows(values, at - 1, 50)
    assert recipe.input_windows(values, at[:0], 50).shape == (0, 49)


def test_an_ema_fed_its_own_forecasts_repeats_the_first_one() -> None:
    """The page's example: x = 0.4, EMA = 0.5."""
    assert recipe.ema_ahead(0.4, 0.5, 50) == pytest.approx(np.full(50, 0.45))


def test_errors_of_constant_forecasts_over_the_horizon_equal_those_of_loops() -> None:
    prepared = prepare(random_prices(1_200), 1_000)
    values, at = prepared.values, [1_000, 1_020]
    running, ema = 0.0, []
    for value in values.tolist():
        running = 0.5 * running + 0.5 * value
        ema.append(running)
    known = {
        "last value": values,
        "EMA": ema,
        "standard average": [values[max(0, i - 99) : i + 1].mean() for i in range(1_200)],
    }
    found = recipe.path_errors(prepared, np.array(at), 20)
    for name, each in known.items():
        errors = [(each[s - 1] - values[s + k]) ** 2 for s in at for k in range(20)]
        assert found[name] == pytest.approx(0.5 * np.mean(errors)), name


def test_move_correlation_depends_on_the_direction_not_on_the_price_level() -> None:
    last = np.array([10.0, 90.0])
    moves = np.array([[1.0, 2.0], [-1.0, -2.0]])
    real = last[:, None] + moves
    for times, expected in ((1, 1.0), (-1, -1.0), (0, None)):
        said = last[:, None] + times * moves
        assert recipe.move_correlation(said, real, last) == pytest.approx(expected)
    assert recipe.move_correlation(real[:0], real[:0], last[:0]) is None


def test_right_directions_are_counted_at_the_direction_step_beside_how_often_the_price_rose() -> (
    None
):
    changed = {"evaluation.horizon": 10, "evaluation.direction_step": 4}
    found = Recipe.of(random_prices(2_000), 1_800, tutorial_settings(changed))
    actual, last = found.outcomes(found.test), found.prepared.values[found.test - 1]
    rose, starts = int((actual[:, 3] > last).sum()), len(found.test)
    assert 0 < rose < starts
    opposite = 2 * last[:, None] - actual
    said = np.where(np.arange(10) == 3, actual, opposite)  # right at this step alone
    assert found.directions(said, found.test) == (starts, rose)
    assert found.directions(opposite, found.test) == (0, rose)


def test_known_leak_1_a_windows_scale_knows_the_rest_of_its_window() -> None:
    mid = random_prices(6_000)
    later = mid.copy()
    later[4_999] *= 3  # the last point of the window 2,500 to 5,000
    before, after = prepare(mid, 5_500).values, prepare(later, 5_500).values
    assert before[:2_500] == pytest.approx(after[:2_500])
    assert np.abs(before[2_600:4_900] - after[2_600:4_900]).max() > 0.1


def test_nothing_of_the_test_part_reaches_the_scale_or_the_training_part() -> None:
    mid = random_prices(6_000)
    later = mid.copy()
    later[5_500:] *= 3
    before, after = prepare(mid, 5_500), prepare(later, 5_500)
    assert before.values[:5_500].tolist() == after.values[:5_500].tolist()
    assert (before.low.tolist(), before.high.tolist()) == (after.low.tolist(), after.high.tolist())
