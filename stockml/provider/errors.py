"""Refusals that name one provider; all others are in `stockml.errors`."""

from stockml.errors import BadKey


class BadTiingoKey(BadKey):
    text = "{ticker}: expected a valid Tiingo key in TIINGO_API_KEY, found {notice}; find it at tiingo.com/account/api"
