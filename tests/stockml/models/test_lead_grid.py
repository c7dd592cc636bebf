"""The grid of leads and levels: moves, interpolation between leads, and widths without location."""

import numpy as np
import pytest

from stockml.errors import InvalidSetting
from stockml.models.lead_grid import LEADS, hat_basis, lead_basis, moves, symmetrised
from tests.support.walks import walk


def test_moves_are_of_the_close_relative_to_the_origins() -> None:
    series = walk(40)
    expected = np.log(series.close[13]) - np.log(series.close[10])
    assert moves(series, np.array([10]), np.array([3]))[0, 0] == pytest.approx(expected)


def test_leads_in_between_are_interpolated_in_ln_lead_and_leads_beyond_are_refused() -> None:
    np.testing.assert_allclose(hat_basis(np.array(LEADS)), np.eye(len(LEADS)), atol=1e-12)
    share = np.log(4 / 3) / np.log(5 / 3)
    values = np.random.default_rng(5).normal(size=len(LEADS))
    expected = (1 - share) * values[2] + share * values[3]
    assert (hat_basis(np.array([4])) @ values)[0] == pytest.approx(expected)
    for lead in (0, 51):
        with pytest.raises(InvalidSetting):
            hat_basis(np.array([1, lead]))


def test_the_basis_of_a_width_is_legendres_polynomials_of_ln_lead() -> None:
    x = np.array([-1, 2 * np.log(10) / np.log(50) - 1, 1])
    expected = np.column_stack([x**0, x, (3 * x**2 - 1) / 2, (5 * x**3 - 3 * x) / 2])
    np.testing.assert_allclose(lead_basis(np.array([1, 10, 50])), expected)


def test_symmetrised_quantiles_have_no_location_and_keep_a_symmetric_width() -> None:
    quantiles = np.sort(np.random.default_rng(3).normal(0.5, 1, (4, 21)))
    found = symmetrised(quantiles)
    for row, plain in zip(found, quantiles, strict=True):
        for j in range(21):
            assert row[j] == pytest.approx((plain[j] - plain[20 - j]) / 2)
    np.testing.assert_allclose(symmetrised(found), found)
