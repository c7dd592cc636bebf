"""Imported once by the server that forks nights: what each of their processes would import and work
out for itself.

Of the 3.4 CPU seconds of a small night these were 1.5; a child gets them for nothing.
"""

from importlib import import_module

from mlflow.utils.requirements_utils import warn_dependency_requirement_mismatches

from stockml.code_version import code_hash
from stockml.prices.calendar import sessions_for

for name in (
    *("flows.nightly", "stockml.nights.train", "matplotlib.figure", "mlflow.pyfunc"),
    *("mlflow.store.tracking.sqlalchemy_store", "exchange_calendars", "scipy.fft"),
):
    import_module(name)

warn_dependency_requirement_mismatches(["numpy"])  # reads which packages are installed
code_hash("training.train", "evaluation.assessment")  # parses the sources
assert sessions_for("IBM").tz  # computes the calendar
