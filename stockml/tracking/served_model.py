"""The model as MLflow serves it: bars in, the path with its intervals out.

MLflow runs this file as a script ("models from code", no pickle); nothing else imports it. The
stockml modules that it needs, as they were that night, lie zipped beside the weights. They alone
forecast, whatever stockml is there as well.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class ServedModel(PythonModel):
    """Loads the night's network once, then predicts after the last bar that it is given."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model, by the code that was logged with it."""
        folder = Path(context.artifacts["model"])
        ticker, calendar = context.model_config["ticker"], context.model_config.get("calendar")
        with imports_from(context.artifacts["code"]):
            from stockml.tracking.served_forecast import Forecaster

            self.forecaster = Forecaster.read(folder, ticker, calendar)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: Any = None
    ) -> pd.DataFrame:
        """One row per lead: lead, session, path, low and high of three bands, chance of a price
        above the last close.

        This is what a night would publish of this model, except where it does worse than the ridge
        regression, by more than the noise: the night then publishes that instead.

        model_input: columns session, open, high, low, close, volume; split-adjusted; at least a
        month, better 1,000 sessions for the long volatilities; for the tutorial's network, from the
        first bar that it learned from. Raises MlflowException for bars that no night would believe,
        TooFewBars.
        """
        return self.forecaster.predict(model_input)


@contextmanager
def imports_from(zipped: str) -> Iterator[None]:
    """Import stockml from this zip within the block; the one that was imported before is back
    afterwards."""
    before = unload_stockml()
    sys.path.insert(0, zipped)
    try:
        yield
    finally:
        sys.path.remove(zipped)
        unload_stockml()
        sys.modules.update(before)


def unload_stockml() -> dict[str, Any]:
    """The modules of stockml, which the next import loads anew."""
    return {
        name: sys.modules.pop(name)
        for name in [*sys.modules]
        if name.partition(".")[0] == "stockml"
    }


set_model(ServedModel())
