"""Scores of distributions: those of scoringrules, of widths alone when asked, and sound tests
across tickers."""

from dataclasses import replace

import numpy as np
import pytest
import scoringrules

from stockml.evaluation.distribution_scores import (
    Losses,
    PairedLosses,
    compare_crps,
    panel_diebold_mariano,
    score,
)
from stockml.evaluation.significance import diebold_mariano
from stockml.models.lead_grid import LEVELS, symmetrised

LEADS = np.array([1, 10, 50])
ORIGINS = np.arange(100, 1_600, 5)
OVERLAPPING = 10  # of the origins: paths of 50, every 5 sessions
SESSIONS = np.datetime64("2001-01-01") + np.arange(2_000)


def shape() -> np.ndarray:
    from scipy.stats import norm

    return np.asarray(norm.ppf(LEVELS))


def quantiles(width: float, location: float = 0.0) -> np.ndarray:
    roots = np.sqrt(LEADS)[:, None]
    return np.tile(width * roots * shape() + location * roots, (len(ORIGINS), 1, 1))


def outcomes(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.01, (len(ORIGINS), len(LEADS))) * np.sqrt(LEADS)


def losses(actual: np.ndarray, **found: np.ndarray) -> dict[str, Losses]:
    return {name: Losses.of(each, actual, LEADS) for name, each in found.items()}


def test_scores_are_those_of_scoringrules() -> None:
    forecast, actual = quantiles(0.012), outcomes()
    loss = Losses.of(forecast, actual, LEADS)
    found = score(forecast, actual, loss)
    each = scoringrules.crps_quantile(actual, forecast, LEVELS)
    assert found.origins == len(ORIGINS)
    np.testing.assert_allclose(found.crps_by_lead, each.mean(axis=0))
    over = (each / np.sqrt(LEADS)).mean(axis=1)
    np.testing.assert_allclose(loss.by_origin, over)
    assert found.crps == pytest.approx(over.mean())
    low, high = forecast[..., 2], forecast[..., -3]
    inside = (low <= actual) & (actual <= high)
    assert found.coverage["80"] == pytest.approx(inside.mean())
    np.testing.assert_allclose(found.coverage_by_lead["80"], inside.mean(axis=0))
    expected = scoringrules.interval_score(actual, low, high, 0.2).mean()
    assert found.interval_scores["80"] == pytest.approx(expected)


def test_skill_names_its_reference_and_the_right_width_wins() -> None:
    both = losses(outcomes(), right=quantiles(0.01), wide=quantiles(0.02))
    found = compare_crps(both, OVERLAPPING, reference="right", symmetric=True)
    assert list(found) == ["wide"]
    comparison = found["wide"]
    assert (comparison.name, comparison.reference, comparison.symmetric) == ("wide", "right", True)
    right, wide = (each.by_origin for each in both.values())
    assert comparison.skill == pytest.approx(1 - wide.mean() / right.mean())
    assert comparison.skill < -0.05
    assert comparison.test is not None
    assert comparison.test == diebold_mariano(wide, right, 10)
    assert comparison.test.p_worse < 0.01
    by_lead = [
        score(quantiles(0.01), outcomes(), both[name]).crps_by_lead for name in ("wide", "right")
    ]
    np.testing.assert_allclose(comparison.skill_by_lead, 1 - np.array(by_lead[0]) / by_lead[1])


def test_the_location_counts_unless_widths_alone_are_compared() -> None:
    both, risen = (
        {"centred": quantiles(0.01), "rising": quantiles(0.01, 0.003)},
        outcomes() + 0.003 * np.sqrt(LEADS),
    )
    widths, whole = (
        losses(risen, **{row: symmetrised(x) for row, x in both.items()}),
        losses(risen, **both),
    )
    assert compare_crps(widths, OVERLAPPING, reference="centred")["rising"].skill == pytest.approx(
        0, abs=1e-9
    )
    assert compare_crps(whole, OVERLAPPING, reference="centred")["rising"].skill > 0.02


def test_without_the_reference_nothing_is_compared() -> None:
    assert (
        compare_crps(losses(outcomes(), wide=quantiles(0.02)), OVERLAPPING, reference="absent")
        == {}
    )


@pytest.mark.parametrize("width", [0.0, 0.005])
def test_a_price_that_never_moved_gives_no_skill_however_narrow_the_forecast(width: float) -> None:
    moved, forecasts = (
        np.zeros((len(ORIGINS), len(LEADS))),
        {"narrow": quantiles(width), "wide": quantiles(0.01)},
    )
    both = losses(moved, **forecasts)
    for reference in both:
        assert compare_crps(both, OVERLAPPING, reference=reference) == {}
    assert np.isnan(both["wide"].skills(both["narrow"])).tolist() == [True] * (1 + len(LEADS))
    moved[0, 0] = 0.01  # it moved once: a skill is missing only where the reference is exact
    both = losses(moved, **forecasts)
    assert np.isfinite(both["wide"].skills(both["narrow"])).tolist() == [
        True,
        True,
        width > 0,
        width > 0,
    ]
    assert set(compare_crps(both, OVERLAPPING, reference="narrow")) == (
        {"wide"} if width else set()
    )


def test_blocks_are_quarters_of_all_tickers_and_partial_ones_are_left_out() -> None:
    generator = np.random.default_rng(4)
    tickers = [
        PairedLosses(
            SESSIONS[ORIGINS[:-2] - 2],
            generator.gamma(2, 1, 298),
            generator.gamma(2, 1 + i, 298),
            (),
        )
        for i in (0, 1)
    ]
    # the first quarter has somewhat fewer origins than usual, the last somewhat fewer than half
    sums: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for each in tickers:
        for day, loss, other in zip(each.sessions.tolist(), each.loss, each.reference, strict=True):
            unit = each.reference.mean()
            sums.setdefault((day.year, (day.month - 1) // 3), []).append(
                (loss / unit, other / unit)
            )
    usual = np.median([len(pairs) for pairs in sums.values()])
    means = np.array([np.mean(sums[q], axis=0) for q in sorted(sums) if len(sums[q]) >= usual / 2])
    assert len(means) < len(sums)
    expected, found = diebold_mariano(means[:, 0], means[:, 1], 2), panel_diebold_mariano(tickers)
    assert vars(found) == pytest.approx(vars(expected))


def test_more_tickers_over_the_same_months_are_not_more_evidence() -> None:
    generator = np.random.default_rng(5)
    blocks = SESSIONS[ORIGINS].astype("datetime64[M]").astype(int) // 3
    # one shock a quarter, the same for every ticker
    shared = generator.normal(size=blocks.max() + 1)[blocks]

    def ticker(noise: int) -> PairedLosses:
        own = np.random.default_rng(noise).normal(0, 0.01, len(ORIGINS))
        return PairedLosses(
            SESSIONS[ORIGINS], 5 + shared + own, np.full(len(ORIGINS), 5.0) + own, ()
        )

    one, fifty = (
        panel_diebold_mariano([ticker(0)]),
        panel_diebold_mariano([ticker(i) for i in range(50)]),
    )
    assert one is not None
    assert fifty is not None
    assert fifty.statistic == pytest.approx(one.statistic, rel=0.1)


def test_a_test_finds_a_worse_forecast_and_is_none_on_too_little_data() -> None:
    tickers = [
        PairedLosses(
            SESSIONS[ORIGINS],
            *(Losses.of(quantiles(x), outcomes(i), LEADS).by_origin for x in (0.02, 0.01)),
            (),
        )
        for i in range(5)
    ]
    found = panel_diebold_mariano(tickers)
    assert found is not None
    assert found.p_worse < 1e-6
    short = [
        PairedLosses(each.sessions[:20], each.loss[:20], each.reference[:20], ())
        for each in tickers
    ]
    assert panel_diebold_mariano(short) is None


def test_an_interval_is_students_where_no_outcomes_overlap() -> None:
    from scipy.stats import ttest_1samp

    both = losses(outcomes()[::10], network=quantiles(0.0105)[::10], simple=quantiles(0.02)[::10])
    found = compare_crps(both, 1, reference="simple")["network"]
    loss, other = (each.by_origin for each in both.values())
    expected = ttest_1samp(other - loss, 0.0).confidence_interval()
    assert found.interval
    assert (found.interval.low, found.interval.high) == pytest.approx(
        np.array([*expected]) / other.mean()
    )
    assert replace(found, test=None).interval is None
