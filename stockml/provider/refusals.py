"""What the provider says instead of a series: a pure function from its words to a typed error."""

import re
from collections.abc import Mapping
from typing import Any

from stockml.errors import BadKey, FeedError, NoData, PremiumOnly, QuotaSpent, RateLimited, UnknownSymbol
from stockml.redaction import excerpt

BURST_WAIT_S = 1.5
MINUTE_WAIT_S = 65.0

NOTICE_FIELDS = ("Error Message", "Information", "Note")
ADDRESS = re.compile(r"https?://\S+")
PARAMETER = re.compile(r"the (\S+=\S+) parameter", re.IGNORECASE)


def refusal(answer: Mapping[str, Any], ticker: str, function: str, shown: str) -> FeedError:
    """The error that an answer without the wanted series stands for; `shown` is its text.

    The order counts: the burst notice also says "25 requests per day" and "premium". Addresses in a notice are not
    read, since a passing fault of 2017 cites a link that has `apikey=demo` in it. An answer that has `message` or
    `detail` instead of a notice, sample rows included, is no data.
    """
    notices = [str(answer[field]) for field in NOTICE_FIELDS if isinstance(answer.get(field), str)]
    words = ADDRESS.sub(" ", " ".join(notices)).lower()
    found = excerpt(" ".join(notices) or shown)

    def says(*phrases: str) -> bool:
        return any(phrase in words for phrase in phrases)

    error: FeedError
    if says("per second", "spreading out"):
        error = RateLimited(ticker, found, BURST_WAIT_S)
    elif says("standard api rate limit is") or (says("calls per day") and not says("per minute")):
        error = QuotaSpent(ticker, found)
    elif says("minute-level", "burst pattern", "calls per minute"):
        error = RateLimited(ticker, found, MINUTE_WAIT_S)
    elif says("premium endpoint", "premium feature"):
        feature = PARAMETER.search(" ".join(notices))
        error = PremiumOnly(ticker, excerpt(feature[1]) if feature else function)
    elif says("demo"):
        error = BadKey(ticker, "the demo key, which only answers the documentation's own examples")
    elif says("apikey is invalid or missing"):
        error = BadKey(ticker, "one that the provider calls invalid or missing")
    elif says("invalid api call"):
        error = UnknownSymbol(ticker, found)
    else:
        error = NoData(ticker, found)
    return error
