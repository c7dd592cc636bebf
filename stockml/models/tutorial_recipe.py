"""The well-known LSTM tutorial's recipe in numbers: scaling, smoothing, streams, decay, two
baselines, cells, forecasts.

It reproduces published figures, and it looks ahead in two places, which is why it is not the
default:
1. the scale of a window is learned from the whole window, so a scaled point knows the window's
   later extremes;
2. with `decay_on="test"` the learning rate is lowered by the test part, the very origins that are
   then reported. The first is part of the recipe; the second is a switch, off by default. Tests
   show both.

The recurrent cells are plain arithmetic: one definition for training (TensorFlow) and forecasting
(NumPy). A cell takes x and h, the products of inputs and hidden state with their kernels, (streams,
gates · units) each, its remaining weights, and its states, (streams, units) each, hidden first. It
returns new states. Gates stand as in Keras.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stockml.errors import TooFewBars
from stockml.models.regressions import (
    AVERAGE_WINDOW,
    EMA_DECAY,
    RIDGE,
    exponential_mean,
    trailing_mean,
)
from stockml.prices.series import PriceSeries
from stockml.settings import Settings
from stockml.storage.arrays import Days, Floats, Indices


class Cell(NamedTuple):
    """A kind of cell.  gates: kernels have gates · units columns.  arrays: how many a layer has,
    with its kernels."""

    step: Callable[[Any, Any, Any, Sequence[Any], Sequence[Any]], tuple[Any, ...]]
    gates: int
    states: int
    arrays: int
    is_summed: bool  # whether only the sum of x and h matters


def lstm(maths: Any, x: Any, h: Any, rest: Sequence[Any], states: Sequence[Any]) -> tuple[Any, ...]:
    """LSTM without peepholes.  rest: bias (4 units)."""
    enter, forget, candidate, output = maths.split(x + h + rest[0], 4, axis=1)
    cell = _sigmoid(maths, forget) * states[1] + _sigmoid(maths, enter) * maths.tanh(candidate)
    return _sigmoid(maths, output) * maths.tanh(cell), cell


def peephole(
    maths: Any, x: Any, h: Any, rest: Sequence[Any], states: Sequence[Any]
) -> tuple[Any, ...]:
    """LSTM whose gates see the cell state (Gers and Schmidhuber, 2000).  rest: bias (4 units),
    peepholes (3, units)."""
    enter, forget, candidate, output = maths.split(x + h + rest[0], 4, axis=1)
    cell, peepholes = states[1], rest[1]
    enter, forget = (
        _sigmoid(maths, enter + peepholes[0] * cell),
        _sigmoid(maths, forget + peepholes[1] * cell),
    )
    cell = forget * cell + enter * maths.tanh(candidate)
    return _sigmoid(maths, output + peepholes[2] * cell) * maths.tanh(cell), cell


def gru(maths: Any, x: Any, h: Any, rest: Sequence[Any], states: Sequence[Any]) -> tuple[Any, ...]:
    """GRU (Cho et al., 2014), reset after the product, as in Keras.  rest: biases of x and of h (2,
    3 units)."""
    update_x, reset_x, candidate_x = maths.split(x + rest[0][0], 3, axis=1)
    update_h, reset_h, candidate_h = maths.split(h + rest[0][1], 3, axis=1)
    update = _sigmoid(maths, update_x + update_h)
    candidate = maths.tanh(candidate_x + _sigmoid(maths, reset_x + reset_h) * candidate_h)
    return (update * states[0] + (1.0 - update) * candidate,)


CELLS = {
    "lstm": Cell(lstm, gates=4, states=2, arrays=3, is_summed=True),
    "peephole": Cell(peephole, gates=4, states=2, arrays=4, is_summed=True),
    "gru": Cell(gru, gates=3, states=1, arrays=3, is_summed=False),
}


def _sigmoid(maths: Any, x: Any) -> Any:
    """Sigmoid by the hyperbolic tangent, which never overflows."""
    return 0.5 * (1.0 + maths.tanh(0.5 * x))


Weights = Sequence[NDArray[np.float32]]

TRAINED_OF = (11_000, 12_075)  # the tutorial's training points, out of all its points
WINDOW = 2_500
# a remainder below a year joins the window before it: its own extremes are too close for a scale
MIN_WINDOW = 250
SMOOTHING = 0.1
LABEL_REACH = 4
MAX_STARTS = 20
RATE_FLOOR = 1e-6
PATIENCE = 2


def train_length(n: int) -> int:
    """How many of `n` points are trained on: 11,000 of 12,075, in proportion for other lengths."""
    return round(n * TRAINED_OF[0] / TRAINED_OF[1])


def starts(first: int, end: int, horizon: int) -> Indices:
    """(m,) first predicted points, each an origin + 1: every `horizon` from `first`, at most 20,
    known by `end`."""
    return np.arange(first, end - horizon + 1, horizon, dtype=np.int64)[:MAX_STARTS]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A scaled series.  values, low, high: (n,); values are (mid - low) / (high - low), smoothed
    before train_end."""

    values: Floats
    low: Floats
    high: Floats
    train_end: int

    def prices(self, origins: Indices, paths: Floats) -> Floats:
        """(m, horizon) prices of scaled paths made at these origins."""
        low, high = self.low[origins, None], self.high[origins, None]
        return low + paths * scale_range(low, high)


def prepare(mid: Floats, train_end: int) -> Prepared:
    """Scale, then smooth before `train_end` by an exponential mean from 0, as the tutorial does.
    mid: (n,), price.

    Min-max scaling in windows of 2,500 before `train_end`, each by its own extremes (leak 1: a
    point's scale knows the rest of its window); from `train_end` on by the last window's.
    """
    from sklearn.preprocessing import MinMaxScaler

    begins = windows(train_end)
    at = np.searchsorted(begins, np.arange(len(mid)), side="right") - 1
    scalers = [MinMaxScaler().fit(part[:, None]) for part in np.split(mid[:train_end], begins[1:])]
    low, high = (
        np.concatenate([getattr(s, end) for s in scalers])[at] for end in ("data_min_", "data_max_")
    )
    return prepared_within(mid, low, high, train_end, start=0.0)


def prepared_within(
    mid: Floats, low: Floats, high: Floats, train_end: int, *, start: float | None
) -> Prepared:
    """Scale by known extremes, (n,) each, then smooth before `train_end`, from `start` or, if None,
    the first value."""
    values = scaled(mid, low, high)
    values[:train_end] = exponential_mean(values[:train_end], decay=1 - SMOOTHING, start=start)
    return Prepared(values, low, high, train_end)


def scaled(mid: Floats, low: Floats, high: Floats) -> Floats:
    """(n,) values before smoothing: 0 at each point's low, 1 at its high."""
    return (mid - low) / scale_range(low, high)


def scale_range(low: Floats | float, high: Floats | float) -> Floats:
    """What a step from 0 to 1 is in price: the window's range; of a window in which no price moved,
    that price.

    low, high: in price, of any one shape, (…), which the result has.
    """
    return np.where(np.greater(high, low), np.subtract(high, low), low)


def windows(train_end: int) -> Indices:
    """(windows,) start of each scaling window: every 2,500 points; a short remainder joins the last
    one."""
    begins = np.arange(0, train_end, WINDOW)
    short = len(begins) > 1 and train_end - begins[-1] < MIN_WINDOW
    return begins[:-1] if short else begins


@dataclass(frozen=True)
class TutorialScale:
    """The scaling windows: first session and price extremes of each; the last one's apply from then
    on."""

    since: tuple[str, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]

    @classmethod
    def of(cls, prepared: Prepared, sessions: Days) -> "TutorialScale":
        """The windows of a prepared series.  sessions: (n,), of that series."""
        begins = windows(prepared.train_end)
        low, high = prepared.low[begins], prepared.high[begins]
        return cls(tuple(map(str, sessions[begins])), tuple(low.tolist()), tuple(high.tolist()))

    def prepared(self, series: PriceSeries, train_end: int) -> Prepared:
        """Scale and smooth any stretch of the ticker's sessions as the series learned from was,
        whatever its length.

        One that begins later is smoothed from its own first value, which counts nothing after 150
        sessions (< 1e-6).
        """
        begins = np.array(self.since, dtype="datetime64[D]")
        at = np.maximum(np.searchsorted(begins, series.sessions, side="right") - 1, 0)
        low, high = np.array(self.lows)[at], np.array(self.highs)[at]
        is_from_start = bool(series.sessions[0] <= begins[0])
        return prepared_within(
            series.mid, low, high, train_end, start=0.0 if is_from_start else None
        )

    def drift(self, series: PriceSeries) -> float:
        """How far the newest price is from the last window's middle, in half ranges; at least 1."""
        low, high = self.lows[-1], self.highs[-1]
        half = float(scale_range(low, high)) / 2
        return max(1.0, abs(float(series.mid[-1]) - (high + low) / 2) / half)


@dataclass(frozen=True, eq=False)
class Streams:
    """Parallel readers of values (n,) at cursors (streams,).

    One that reaches the end of the values resumes at a random point before the end of its own
    segment.
    """

    values: Floats
    cursors: Indices
    unrolled: int

    @classmethod
    def of(cls, values: Floats, count: int, unrolled: int) -> "Streams":
        """`count` readers, evenly spaced. Raises TooFewBars when they would start on the same
        point."""
        if len(values) < count + unrolled:
            raise TooFewBars(count + unrolled, len(values), f"{count} streams of {unrolled} points")
        return cls(values, np.arange(count) * ((len(values) - unrolled) // count), unrolled)

    def places(self, draws: Floats) -> "tuple[Indices, Indices, Streams]":
        """Indices of the next points and of their labels, (unrolled, streams) each, and the streams
        after them.

        draws: (unrolled, streams, 2), uniform in [0, 1): where a finished reader resumes, and which
        point is the label.
        """
        readable = len(self.values) - self.unrolled
        segment_ends = (1 + np.arange(len(self.cursors))) * (readable // len(self.cursors))
        at = np.empty((self.unrolled, len(self.cursors)), dtype=np.int64)
        cursors = self.cursors
        for step, restart in enumerate(draws[:, :, 0]):
            at[step] = np.where(
                cursors + 1 >= readable, (restart * segment_ends).astype(np.int64), cursors
            )
            cursors = (at[step] + 1) % readable
        ahead = 1 + (draws[:, :, 1] * LABEL_REACH).astype(np.int64)
        return at, at + ahead, replace(self, cursors=cursors)


def learning_rate(initial: float, losses: Iterable[float]) -> float:
    """Rate after epochs with these losses: halved after more than 2 in a row without improvement,
    never below 1e-6."""
    best, waited, halvings = math.inf, 0, 0
    for loss in losses:
        waited = waited + 1 if loss > best else 0
        best = min(best, loss)
        if waited > PATIENCE:
            halvings, waited = halvings + 1, 0
    return max(initial * 0.5**halvings, RATE_FLOOR)


def half_mse(predicted: Floats, real: Floats) -> float:
    """The tutorial's error: half of the mean squared error of two arrays of one shape, (…), in
    scaled units squared."""
    return 0.5 * float(np.mean((predicted - real) ** 2))


def one_step_errors(prepared: Prepared) -> dict[str, float]:
    """Errors one step ahead on the smoothed training part, by name; the standard average's from the
    first full one."""
    trained = prepared.values[: prepared.train_end]
    known, first = _known(trained), {"standard average": AVERAGE_WINDOW, "EMA": 1, "last value": 1}
    return {name: half_mse(known[name][at - 1 : -1], trained[at:]) for name, at in first.items()}


def path_errors(prepared: Prepared, at: Indices, horizon: int) -> dict[str, float]:
    """Half MSE over the `horizon` points from each start, by name, of the constant forecasts known
    just before it.

    at: (starts,), points, from 1 on.
    """
    outcomes = target_windows(prepared.values, at, horizon)
    return {
        name: half_mse(each[at - 1, None], outcomes)
        for name, each in _known(prepared.values).items()
    }


def _known(values: Floats) -> dict[str, Floats]:
    """(n,) forecasts of the next point, by name, known at each point: the page's two averages and
    the last value."""
    return {
        "standard average": trailing_mean(values),
        "EMA": exponential_mean(values, start=0.0),
        "last value": values,
    }


def ema_ahead(value: float, mean: float, steps: int) -> Floats:
    """(steps,) forecasts of the exponential mean, each fed back as the next value: all equal the
    first."""
    return np.full(steps, EMA_DECAY * mean + (1 - EMA_DECAY) * value)


def move_correlation(predicted: Floats, real: Floats, last: Floats) -> float | None:
    """Pearson's, of predicted and actual moves, (m, horizon), since `last`, (m,); None where either
    is constant."""
    moves = (predicted - last[:, None]).ravel(), (real - last[:, None]).ravel()
    return (
        float(np.corrcoef(*moves)[0, 1])
        if all(len(each) and each.std() > 0 for each in moves)
        else None
    )


def input_windows(values: Floats, at: Indices, unrolled: int) -> Floats:
    """The inputs before each start, 49 points with 50 unrolled steps.  Raises TooFewBars.

    values: (n,).  at: (m,), starts.  Returns (m, unrolled − 1).
    """
    if (
        known := int(at.min(initial=unrolled))
    ) < unrolled - 1:  # an index below 0 would count from the newest
        raise TooFewBars(
            unrolled - 1, known, "what the tutorial's network is fed before a forecast"
        )
    return np.asarray(values[at[:, None] + np.arange(1 - unrolled, 0)])


def target_windows(values: Floats, at: Indices, horizon: int) -> Floats:
    """(m, horizon) points from each start on."""
    return np.asarray(values[at[:, None] + np.arange(horizon)])


# OpenBLAS may raise the flag for finite numbers: NumPy's issue 24067
@np.errstate(invalid="ignore")
def rollout(weights: Weights, inputs: Floats, horizon: int, cell: str = "lstm") -> Floats:
    """Feed the past, then each prediction as the next input: all origins in one pass, without
    dropout.

    weights: kernel (inputs, gates · units), recurrent kernel (units, gates · units) and the rest of
    each layer, as in `cells`, then the linear layer's kernel and bias.  inputs: (m, length).
    Returns (m, horizon).
    """
    *arrays, kernel, bias = weights
    kind = CELLS[cell]
    layers = [arrays[i : i + kind.arrays] for i in range(0, len(arrays), kind.arrays)]
    states = [
        (np.zeros((len(inputs), len(layer[1])), np.float32),) * kind.states for layer in layers
    ]
    path = np.empty((len(inputs), horizon), dtype=np.float32)
    points = list(inputs.astype(np.float32).T)
    for step in range(len(points) + horizon - 1):
        signal = (
            points[step][:, None] if step < len(points) else path[:, step - len(points)][:, None]
        )
        for depth, (into, recurrent, *rest) in enumerate(layers):
            states[depth] = kind.step(
                np, signal @ into, states[depth][0] @ recurrent, rest, states[depth]
            )
            signal = states[depth][0]
        if step >= len(points) - 1:
            path[:, step - len(points) + 1] = (signal @ kernel + bias)[:, 0]
    return path.astype(np.float64)


@dataclass(frozen=True, eq=False)
class TutorialForecaster:
    """One fitted network; it is causal from `learned_until` on: before it, scales look ahead."""

    settings: Settings
    weights: tuple[NDArray[Any], ...]
    scale: TutorialScale
    learned_until: np.datetime64

    forecasts_path: ClassVar[bool] = True
    vintages: ClassVar[None] = None
    width_by: ClassVar[str] = RIDGE

    def forecast(
        self, series: PriceSeries, origins: Indices, leads: Indices
    ) -> tuple[Floats, None]:
        """(m, leads) log(path / close of the origin), and no quantiles.  leads: 1, 2, … without a
        gap."""
        return np.log(self.paths(series, origins, len(leads)) / series.close[origins, None]), None

    def paths(self, series: PriceSeries, origins: Indices, horizon: int) -> Floats:
        """(m, horizon) mid prices of the sessions after each origin.  Raises TooFewBars below
        look_back - 2."""
        network, prepared = (
            self.settings.network,
            self.scale.prepared(series, len(series.through(self.learned_until))),
        )
        inputs = input_windows(prepared.values, origins + 1, network.look_back)
        return prepared.prices(origins, rollout(self.weights, inputs, horizon, network.cell))

    def asdict(self) -> dict[str, Any]:
        """What is written of it beside the weights."""
        return {"scale": vars(self.scale), "learned_until": str(self.learned_until)}
