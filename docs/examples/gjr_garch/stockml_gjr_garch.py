"""A forecaster of another package: GJR-GARCH(1,1,1) with Student's t (Glosten and others 1993).

`uv pip install docs/examples/gjr_garch` gives it a row in the tables of nights and backtests.
"""

import numpy as np
from arch import arch_model

from stockml.models.regressions import LEVELS


def model(series):
    """Of daily log returns in percent."""
    returns = 100 * np.diff(np.log(series.close))
    return arch_model(returns, mean="Zero", vol="GARCH", p=1, o=1, q=1, dist="t", rescale=False)


class GjrGarch:
    def fit(self, known):
        """Learn from the sessions up to the first origin."""
        self.parameters = model(known).fit(disp="off").params

    def quantiles(self, series, origins, leads):
        """(m, leads, 21) quantiles of log(close at lead / close of the origin): 0 ± a width."""
        asked = model(series)
        first = origins[0] - 1  # the return of session i is the one before it in the list
        variances = asked.forecast(
            self.parameters.to_numpy(), horizon=int(max(leads)), start=int(first)
        ).variance.to_numpy()[origins - origins[0]]
        width = np.sqrt(np.cumsum(variances, axis=1))[:, np.asarray(leads) - 1] / 100
        return width[..., None] * asked.distribution.ppf(LEVELS, self.parameters["nu"])
