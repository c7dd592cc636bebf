"""The tutorial's recipe in numbers: each part against a naive loop, and its first known leak, named
as one."""

from dataclasses import replace

import numpy as np
import pytest

from stockml.errors import TooFewBars
from stockml.models import tutorial_recipe as recipe
from stockml.models.tutorial_recipe import Streams, TutorialScale, learning_rate, prepare
from tests.support.kaggle import kaggle_mid
from tests.support.walks import walk


def random_prices(n, seed=0):
    return 20 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.02, n)))


def naive_read(values, cursors, draws):
    """The tutorial's generator, one stream and one step at a time, with the same random draws."""
    unrolled, streams, _ = draws.shape
    readable = len(values) - unrolled
    points, labels = [], []
    for step in range(unrolled):
        for stream in range(streams):
            restart, reach = draws[step, stream]
            if cursors[stream] + 1 >= readable:
                cursors[stream] = int(restart * (stream + 1) * (readable // streams))
            points.append(values[cursors[stream]])
            labels.append(values[cursors[stream] + 1 + int(reach * 4)])
            cursors[stream] = (cursors[stream] + 1) % readable
    return points, labels


@pytest.mark.parametrize(
    ("n", "count", "unrolled"), [(110, 4, 10), (333, 7, 5), (60, 50, 10), (997, 3, 50)]
)
def test_streams_read_what_the_tutorials_loop_reads(n, count, unrolled):
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


def test_the_series_is_scaled_in_windows_and_smoothed_as_in_the_tutorials_loop():
    mid = random_prices(6_400)
    expected, mean = mid.copy(), 0.0
    for begin, end in ((0, 2_500), (2_500, 5_000), (5_000, 5_830)):
        part = mid[begin:end]  # the last one's extremes hold from then on, too
        expected[begin:] = (mid[begin:] - part.min()) / np.ptp(part)
    for t in range(5_830):
        expected[t] = mean = 0.1 * expected[t] + 0.9 * mean
    prepared = prepare(mid, 5_830)
    assert prepared.values == pytest.approx(expected, abs=1e-12)
    at = np.array([5_900, 6_000])
    assert prepared.prices(at, prepared.values[at, None])[:, 0] == pytest.approx(mid[at])


def test_a_window_in_which_no_price_moved_is_scaled_by_that_price():
    halted = np.concatenate([np.full(2_700, 7.0), 7.0 + np.arange(300.0)])
    prepared, at = prepare(halted, 2_700), np.array([2_700, 2_999])
    assert prepared.values[[0, *at]] == pytest.approx([0.0, 0.0, 299 / 7])
    assert prepared.prices(at, prepared.values[at, None])[:, 0] == pytest.approx(halted[at])
    series = replace(walk(3_000), high=halted, low=halted)
    assert TutorialScale.of(prepared, series.sessions).drift(series) == pytest.approx(2 * 299 / 7)


def test_starts_are_the_tutorials_20_and_leave_room_for_their_outcomes():
    assert [recipe.train_length(n) for n in (12_075, 14_059, 989)] == [11_000, 12_807, 901]
    assert recipe.starts(11_000, 12_075, 50).tolist() == list(range(11_000, 12_000, 50))
    assert recipe.starts(901, 989, 50).tolist() == [901]
    assert recipe.starts(901, 940, 50).tolist() == []


def test_the_rate_is_halved_after_more_than_two_epochs_without_improvement_down_to_its_floor():
    losses = (5.0, 4.0, 4.1, 4.0, *[4.3] * 6)
    rates = [learning_rate(1e-4, losses[:epochs]) for epochs in range(1, 11)]
    # the second 4.0 is no worse than the best, so the count restarts, as in the tutorial
    assert rates == [1e-4] * 6 + [5e-5] * 3 + [2.5e-5]
    assert learning_rate(1e-4, (*losses, *[9.0] * 100)) == 1e-6


def test_on_hpq_the_baselines_are_the_published_ones():
    mid = kaggle_mid("hpq")
    prepared = prepare(mid, recipe.train_length(len(mid)))
    assert prepared.train_end == 11_000
    found = recipe.one_step_errors(prepared)
    assert f"{found['standard average']:.5f} {found['EMA']:.5f}" == "0.00418 0.00003"
    at = recipe.starts(11_000, len(mid), 50)
    assert f"{recipe.path_errors(prepared, at, 50)['last value']:.5f}" == "0.00268"


def test_the_49_points_fed_before_a_start_are_those_of_the_page_or_it_is_refused():
    """The page's loop: range(w - 50 + 1, w - 1), then w - 1."""
    values, at = np.arange(12_000.0), np.array([49, 11_000])
    fed = recipe.input_windows(values, at, 50)
    assert fed.tolist() == [[*range(w - 50 + 1, w - 1), w - 1] for w in at.tolist()]
    with pytest.raises(TooFewBars, match=r"at least 49 .* found 48"):
        recipe.input_windows(values, at - 1, 50)
    assert recipe.input_windows(values, at[:0], 50).shape == (0, 49)


def test_an_ema_fed_its_own_forecasts_repeats_the_first_one():
    """By the decay of the page's example, x = 0.4, EMA = 0.5."""
    assert recipe.ema_ahead(0.4, 0.5, 50) == pytest.approx(np.full(50, 0.45))


def test_errors_of_constant_forecasts_over_the_horizon_equal_those_of_loops():
    prepared = prepare(random_prices(1_200), 1_000)
    values, at, ema, errors = prepared.values, [1_000, 1_020], 0.0, []
    for t, value in enumerate(values[:1_020]):
        ema = 0.5 * ema + 0.5 * value
        if t + 1 in at:
            known = np.array([value, ema, values[t - 99 : t + 1].mean()])
            errors += [(known - values[t + k]) ** 2 for k in range(1, 21)]
    found, means = recipe.path_errors(prepared, np.array(at), 20), 0.5 * np.mean(errors, axis=0)
    names = ("last value", "EMA", "standard average")
    assert found == pytest.approx(dict(zip(names, means, strict=True)))


def test_move_correlation_depends_on_the_direction_not_on_the_price_level():
    last = np.array([10.0, 90.0])
    rises, falls, still = (
        last[:, None] + times * np.array([[1.0, 2.0], [-1.0, -2.0]]) for times in (1, -1, 0)
    )
    for said, expected in ((rises, 1.0), (falls, -1.0), (still, None)):
        assert recipe.move_correlation(said, rises, last) == pytest.approx(expected)
    assert recipe.move_correlation(rises[:0], rises[:0], last[:0]) is None


def test_known_leak_1_a_windows_scale_knows_its_rest_but_nothing_of_the_test_part():
    at, mid = np.arange(6_000), random_prices(6_000)
    before, in_window, tested = (
        # the last point of the window 2,500 to 5,000; all from the end of the training part on
        prepare(np.where(changed, 3 * mid, mid), 5_500)
        for changed in (at < 0, at == 4_999, at >= 5_500)
    )
    assert before.values[:2_500] == pytest.approx(in_window.values[:2_500])
    assert np.abs(before.values[2_600:4_900] - in_window.values[2_600:4_900]).max() > 0.1
    assert before.values[:5_500].tolist() == tested.values[:5_500].tolist()
    assert [*before.low, *before.high] == [*tested.low, *tested.high]
