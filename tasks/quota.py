"""What the key may still ask today."""

from tasks.data import provider


def requests_left() -> int | None:
    """Requests left today; None means no cap."""
    with provider() as asked:
        return asked.remaining()


def has_premium_key() -> bool:
    """Whether the full history may be asked for: the plans that have no cap a day."""
    return requests_left() is None
