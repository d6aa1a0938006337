"""The routes of a function, said once: it answers by them, docs/openapi.json is made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final, Generic, TypeVar

from aws_lambda_powertools import Logger
from botocore.exceptions import ClientError

from advisor.errors import RequestError
from advisor.http import ANSWERED, Parameter, Request, answer, problem

Services = TypeVar("Services")
# How S3 and DynamoDB say that they are asked too much; boto3 has tried again by then.
THROTTLED: Final = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "SlowDown",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)


class Body(StrEnum):
    """What a request's body is."""

    PHOTO = "photo"  # the bytes, a form, or JSON
    PHOTOS = "photos"  # the same, or several of them
    UPLOAD = "upload"  # what POST /uploads takes
    CRAWL = "crawl"  # what POST /crawls takes
    LABEL = "label"  # what POST /reviews/photos/{image_id} takes
    PAIR = "pair"  # what POST /reviews/matches takes
    PIN = "pin"  # what POST /reviews/categories takes


@dataclass(frozen=True)
class Answered:
    """An answer with a status of its own."""

    value: Any
    status: int


@dataclass(frozen=True, kw_only=True)
class Route(Generic[Services]):
    """One route.

    answers: gives the JSON value of the answer, or an Answered; its docstring is what the
    document says of the route. query: the parameters that it reads besides those of its path.
    refuses: the statuses of its problem documents. good: the statuses of what
    it answers else.
    """

    answers: Callable[[Request, Services], Any]
    query: tuple[Parameter, ...] = ()
    takes: Body | None = None
    refuses: tuple[int, ...] = ()
    good: tuple[int, ...] = (200,)


def serve(
    event: Mapping[str, Any],
    routes: Mapping[str, Route[Services]],
    services: Services,
    *,
    logger: Logger,
) -> dict[str, Any]:
    """Answer one HTTP request; what the sender did wrong becomes a problem document.

    routes: by what API Gateway calls them, "GET /products/{product_id}".
    """
    try:
        request = Request.from_event(event)
        if request.route not in routes:
            raise RequestError(HTTPStatus.NOT_FOUND, f"no route {request.route!r}")
        said = _throttled(routes[request.route], request, services)
        return answer(said.value, said.status) if isinstance(said, Answered) else answer(said)
    except ANSWERED as error:
        logger.info("refused", extra={"route": event["routeKey"], "reason": str(error)})
        return problem(error)


def _throttled(route: Route[Services], request: Request, services: Services) -> Any:
    try:
        return route.answers(request, services)
    except ClientError as error:
        if error.response["Error"]["Code"] not in THROTTLED:
            raise
        raise RequestError(
            HTTPStatus.TOO_MANY_REQUESTS, f"{request.route} is asked more than can be answered now"
        ) from error
