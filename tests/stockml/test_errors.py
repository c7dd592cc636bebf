"""Errors carry their data through pickling, and say it in one line."""

import pickle
from dataclasses import fields
from datetime import date
from typing import Any, get_type_hints

import pytest

import deployments.servers.stack
from stockml import errors

DAY = date(2013, 3, 1)
OF_TYPE: dict[Any, Any] = {
    str: "IBM",
    int: 3,
    int | None: 1,
    float: 0.5,
    object: 0,
    date: DAY,
    tuple[date, ...]: (DAY,) * 8,
    tuple[str, ...]: ("AAPL", "IBM"),
}
OTHERS = (deployments.servers.stack,)  # whose kinds are known once they are imported


def kinds(kind):
    """The error and all below it that the product raises."""
    return {kind}.union(*map(kinds, kind.__subclasses__()))


KINDS = sorted(
    (
        kind
        for kind in kinds(errors.StockmlError) - {errors.StockmlError}
        if kind.__module__.split(".")[0] in ("stockml", "deployments")
    ),
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_pickling_and_reads_as_one_line(kind):
    types = get_type_hints(kind)
    error = kind(*(OF_TYPE[types[each.name]] for each in fields(kind)))
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (str(again), vars(again)) == (str(error), vars(error))
    assert "\n" not in str(error)


def test_only_rate_limits_and_absent_data_are_worth_asking_again():
    transient = kinds(errors.TransientFeedError) - {errors.TransientFeedError}
    assert transient == {errors.RateLimited, errors.NoData, errors.Unreachable}
