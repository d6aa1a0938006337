"""Every error this product raises on purpose.

AdvisorError                  a user's or a shop's fault; one sentence tells what was received
├── UsageError                what was asked for cannot be done
│   ├── SettingsError         a setting is missing or wrong
│   ├── UnknownSpiderError    no spider of that name
│   ├── DataError             a folder, file or S3 prefix holds not what was expected
│   └── BackboneError         backbone weights cannot be had or are not what they should be
│       └── NotTunableError       a backbone that cannot be fine-tuned
├── UnreadableImageError      bytes that are no photo we accept
├── InvalidItemError          an item without a required field
├── FetchError                a URL that could not be fetched
│   ├── ForbiddenAddressError     a private address, or a scheme other than http(s)
│   └── RobotsDisallowedError     robots.txt says no
├── BundleError               a model bundle that is incomplete or differs from what it says
├── NoModelError              no model is published yet
├── NotBetterError            a model that is not shown to be better than the one in use
├── RequestError              an HTTP request that cannot be served (carries its status)
└── NotFoundError             no such product, image or run
"""

from __future__ import annotations


class AdvisorError(Exception):
    """Base of all errors raised on purpose; its text is one sentence for the user."""


class UsageError(AdvisorError):
    """What was asked for cannot be done as asked."""


class SettingsError(UsageError):
    """A setting is missing or has a value that cannot be used."""


class UnknownSpiderError(UsageError):
    """No spider has the name given."""


class DataError(UsageError):
    """A folder, file or S3 prefix does not hold what was expected."""


class BackboneError(UsageError):
    """Backbone weights cannot be had, or are not what they should be."""


class NotTunableError(BackboneError):
    """A backbone that works as it is and cannot be fine-tuned."""


class UnreadableImageError(AdvisorError):
    """Bytes that are no photo we accept.

    reason: a word or two to count it by.
    """

    def __init__(self, message: str, *, reason: str = "damaged") -> None:
        super().__init__(message)
        self.reason = reason


class InvalidItemError(AdvisorError):
    """An item without a required field."""


class FetchError(AdvisorError):
    """A URL that could not be fetched.

    reason: a word or two to count it by. retryable: it may go better a little later.
    """

    def __init__(self, message: str, *, reason: str = "fetch", retryable: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.retryable = retryable


class ForbiddenAddressError(FetchError):
    """A URL whose scheme or address we do not fetch."""


class RobotsDisallowedError(FetchError):
    """A URL that the shop's robots.txt asks us not to fetch."""


class BundleError(AdvisorError):
    """A model bundle that is incomplete, or differs from what it says of itself."""


class NoModelError(AdvisorError):
    """No model has been published yet."""


class NotBetterError(AdvisorError):
    """A model that is not shown to be better than the one in use, and so is not published."""


class RequestError(AdvisorError):
    """An HTTP request that cannot be served.

    status: the HTTP status it becomes (400, 413, 415, 422, ...).
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class NotFoundError(AdvisorError):
    """No such product, image, model or run."""
