"""The pretrained network: valid quantiles for any prices, no look-ahead, the same arithmetic as a
naive loop."""

from datetime import date

import numpy as np
import pytest

from stockml.features.origins import starts, within_segment
from stockml.features.volatility import InputScale, width_inputs
from stockml.models.pretrained_network import LOOK_BACK, Member, PretrainedNetwork
from stockml.models.regressions import LEADS, lead_basis, symmetrised
from stockml.models.tutorial_recipe import lstm
from tests.stockml.models.test_regressions import ALL, fit
from tests.support.walks import begins_tenfold, constant, hole_of_a_year, walk


def member(seed=0, units=(6, 5), size=0.4):
    """A network with random weights: nothing tested here depends on what was learned."""
    rng = np.random.default_rng(seed)

    def drawn(*shape):
        return rng.normal(0, size, shape).astype(np.float16).astype(np.float32)

    layers, before = [], 14
    for own in units:
        layers.append((drawn(before, 4 * own), drawn(own, 4 * own), drawn(4 * own)))
        before = own
    shape = np.cumsum(rng.uniform(0.05, 0.4, (11, 10)), axis=1).astype(np.float32)
    return Member(tuple(layers), (drawn(before + 14, 7), drawn(7)), (drawn(7, 4), drawn(4)), shape)


def pretrained(*members):
    scale, three = InputScale.fit([width_inputs(walk(1_300, seed=3))[60:]]), map(member, range(3))
    known = (date(2004, 6, 30), ("A", "B"), 2_600, 400)
    return PretrainedNetwork(*known, scale, members or (*three,), {})


@pytest.fixture(scope="module")
def regressions():
    return fit({f"T{i}": walk(900, seed=i) for i in range(3)}, date(2004, 6, 30))


@pytest.mark.parametrize(
    "series", [constant(), begins_tenfold(bars=100), hole_of_a_year(), walk(100)]
)
@pytest.mark.parametrize("size", [0.4, 50.0])
def test_quantiles_are_finite_symmetric_and_rising_whatever_the_prices(regressions, series, size):
    origins = within_segment(series, np.arange(20, len(series), 7), 0)
    network = pretrained(member(size=size), member(1, size=size))
    found = network.quantiles(series, origins, ALL, *regressions)
    assert found.shape == (len(origins), 50, 21)
    assert np.isfinite(found).all()
    assert (np.diff(found, axis=-1) > 0).all()
    np.testing.assert_array_equal(found, symmetrised(found))


def test_quantiles_are_the_mean_over_the_networks_of_width_times_shape(regressions):
    series, origins, leads = walk(1_200), np.array([300, 1_199]), np.array(LEADS)
    both = pretrained()
    windows = both.windows(series, origins)
    expected, (pooled, ridge) = np.zeros((2, 11, 21)), regressions
    width = ridge.widths(series, origins, leads, pooled)
    for each in both.members:
        departure = np.clip(each.coefficients(windows) @ lead_basis(leads).T, -2, 2)
        shape = np.concatenate([-each.shape[:, ::-1], np.zeros((11, 1)), each.shape], axis=1)
        expected += (width * np.exp(departure))[..., None] * shape / 3
    found = both.quantiles(series, origins, leads, *regressions)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_network_computes_what_a_loop_over_its_gates_computes():
    plain, windows = member(), pretrained().windows(walk(300), np.array([250]))
    sequence = windows[0].astype(float)
    for kernel, recurrent, bias in plain.layers:
        states, outputs = np.zeros((2, 1, len(recurrent))), []
        for row in sequence:
            states = lstm(np, [row @ kernel], states[0] @ recurrent, [bias], states)
            outputs += [*states[0]]
        sequence = outputs
    known = np.append(sequence[-1], windows[0, -1])
    hidden = np.maximum(known @ plain.dense[0] + plain.dense[1], 0)
    expected = hidden @ plain.head[0] + plain.head[1]
    np.testing.assert_allclose(plain.coefficients(windows)[0], expected, atol=1e-5)


def test_what_a_pretrained_network_has_been_asked_before_changes_no_bit_of_its_coefficients():
    series, origins = walk(1_300), np.arange(900, 1_000)
    plain, asked, another = (pretrained(member(seed=seed, units=(48, 48))) for seed in (6, 6, 7))
    first = plain.coefficients(series, origins)
    for earlier in (origins[7:9], origins[:40], origins[60:61]):
        asked.coefficients(series.until(961), earlier)
    np.testing.assert_array_equal(asked.coefficients(series, origins), first)
    assert not np.array_equal(another.coefficients(series, origins), first)


def test_a_window_holds_the_mean_before_the_first_session_of_its_segment():
    series, plain = hole_of_a_year(), pretrained()
    rows, second = plain.scale.apply(width_inputs(series)), int(starts(series)[1])
    found = plain.windows(series, np.array([1, second + 1]))
    assert found.shape == (2, LOOK_BACK, 14)
    for window, known in zip(found, (rows[:2], rows[second : second + 2]), strict=True):
        np.testing.assert_array_equal(window[-2:], known)
        assert not window[:-2].any()


def test_weights_of_a_wrong_size_or_with_invalid_values_are_refused_wherever_they_are():
    not_from_0 = member().shape - member().shape[:, :1] - 0.01  # though all rise
    damaged = [(10, not_from_0)]
    for part, array in enumerate(member().arrays()):
        damaged += [(part, np.full_like(array, np.nan)), (part, array[..., 1:])]
    for part, array in damaged:
        arrays = member().arrays()
        arrays[part] = array
        with pytest.raises(ValueError, match="expected"):
            Member.of(arrays)
