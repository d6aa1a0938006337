"""What X-Ray is told of a call that it samples: stages, calls of AWS, by Powertools' Tracer.

Powertools' own provider, aws-xray-sdk, gets no more updates from February 2027 on, and a cold
start would wait for its import. The one here tells the daemon that Lambda runs beside a traced
function the same (https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html):
one datagram for each part of a call when it ends. Nobody waits for it, and nothing depends on
whether somebody listens. Of a call that is not sampled nothing is told.
"""

from __future__ import annotations

import json
import os
import re
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, wraps
from http import HTTPStatus
from socket import AF_INET, MSG_DONTWAIT, SOCK_DGRAM, socket
from typing import Any, Final, ParamSpec, Self, TypeVar

from aws_lambda_powertools import Tracer
from aws_lambda_powertools.tracing.base import BaseProvider, BaseSegment

from advisor.http import ANSWERED

P = ParamSpec("P")
R = TypeVar("R")
_HEADER: Final = b'{"format":"json","version":1}\n'
_ADDRESS = re.compile(r"([\d.]+):(\d+)")  # Lambda's; of a host's name DNS would have to be asked
_OPEN: Final = "advisor.tracing"  # in botocore's context of a request


@dataclass(frozen=True)
class Segment:
    """Lambda's own segment of a sampled call, and where the call's further parts are told."""

    id: str
    trace_id: str
    daemon: tuple[str, int]

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self | None:
        """The call that runs; None where it is not sampled, or nobody is there to be told."""
        told = dict(re.findall(r"(\w+)=([^;]+)", environ.get("_X_AMZN_TRACE_ID", "")))
        daemon = _ADDRESS.fullmatch(environ.get("AWS_XRAY_DAEMON_ADDRESS", ""))
        if told.get("Sampled") != "1" or not told.keys() >= {"Root", "Parent"} or not daemon:
            return None
        return cls(told["Parent"], told["Root"], (daemon[1], int(daemon[2])))


@dataclass(kw_only=True)
class Subsegment(BaseSegment):
    """A part of a call; told when it is closed.

    segment: of the call; None if it is not sampled. parent_id: what it is a part of. start_s:
    seconds since 1970. document: what is told beyond that.
    """

    name: str
    segment: Segment | None
    parent_id: str
    start_s: float
    document: dict[str, Any]
    id: str = field(default_factory=lambda: os.urandom(8).hex())

    @classmethod
    def within(
        cls,
        outer: Segment | Subsegment | None,
        name: str,
        *,
        start_s: float | None = None,
        **document: Any,
    ) -> Subsegment:
        """A part of another one, or of the call; None: of none that is sampled."""
        return cls(
            name=name,
            segment=outer.segment if isinstance(outer, Subsegment) else outer,
            parent_id=outer.id if outer else "",
            start_s=time.time() if start_s is None else start_s,
            document=document,
        )

    def close(self, end_time: float | None = None) -> None:
        """Tell it. end_time: seconds since 1970; now, if it is not given."""
        if self.segment is None:
            return
        whole = self.document | {
            "name": self.name,
            "id": self.id,
            "trace_id": self.segment.trace_id,
            "parent_id": self.parent_id,
            "type": "subsegment",
            "start_time": self.start_s,
            "end_time": time.time() if end_time is None else end_time,
        }
        said = _HEADER + json.dumps(whole, default=str).encode()
        # A port above 65535 is an OverflowError.
        with suppress(OSError, OverflowError), socket(AF_INET, SOCK_DGRAM) as udp:
            udp.sendto(said, MSG_DONTWAIT, self.segment.daemon)

    def put_annotation(self, key: str, value: Any) -> None:
        """Say something by which traces can be searched."""
        self.document.setdefault("annotations", {})[key] = value

    def put_metadata(self, key: str, value: Any, namespace: str = "default") -> None:
        """Say something by which they cannot."""
        self.document.setdefault("metadata", {}).setdefault(namespace, {})[key] = value

    def add_exception(
        self,
        exception: BaseException,
        stack: list[traceback.StackSummary],  # noqa: ARG002 (Powertools'; the log has it)
        remote: bool = False,
    ) -> None:
        """Mark it as failed: by the sender (error) where he is told so, else by us (fault).

        Of the exception only its type is told, since the text may name a photo.
        """
        self.document["error" if isinstance(exception, ANSWERED) else "fault"] = True
        said = {"id": os.urandom(8).hex(), "type": type(exception).__name__, "remote": remote}
        self.document["cause"] = {"exceptions": [said]}

    def answered(self, status: int, **aws: Any) -> None:
        """Close a request to AWS with what was answered. aws: request_id, retries, error_code."""
        told = {name: value for name, value in aws.items() if value is not None}
        self.document.setdefault("aws", {}).update(told)
        self.document["http"] = {"response": {"status": status}}
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self.document["fault"] = True
        elif status >= HTTPStatus.BAD_REQUEST:
            self.document["error"] = True
            self.document["throttle"] = status == HTTPStatus.TOO_MANY_REQUESTS
        self.close()

    def failed(self, exception: Exception) -> None:
        """Close a request to AWS that was not answered."""
        self.add_exception(exception, [], remote=True)
        self.close()

    def add_subsegment(self, subsegment: Any) -> None:
        """Do nothing: each part names what it is a part of."""

    def remove_subsegment(self, subsegment: Any) -> None:
        """Do nothing: as above."""


class XRay(BaseProvider):
    """What Powertools' Tracer tells X-Ray by. A process answers one call at a time, as on Lambda.

    What lasts (`in_subsegment`) is opened by the thread that answers; what is part of it, by any.
    """

    def __init__(self) -> None:
        self._open: list[Subsegment] = []

    @contextmanager
    def in_subsegment(self, name: str | None = None, **_: Any) -> Iterator[Subsegment]:
        """A part of what is open; the outermost is the call itself, if it is sampled."""
        outer = self._open[-1] if self._open else Segment.from_env(os.environ)
        part = Subsegment.within(outer, name or "")
        self._open.append(part)
        try:
            yield part
        except Exception as error:
            part.add_exception(error, [])
            raise
        finally:
            self._open.pop()
            part.close()

    def part(self, name: str, *, start_s: float | None = None, **document: Any) -> Subsegment:
        """A part of what is open, to be closed by the caller. It has no parts of its own.

        start_s: seconds since 1970; now, if it is not given. document: what is told of it.
        """
        outer = self._open[-1] if self._open else None
        return Subsegment.within(outer, name, start_s=start_s, **document)

    def aws_request(self, service: str, operation: str, region: str, **of: str) -> Subsegment:
        """A request to AWS, until it is `answered`. of: bucket_name, table_name."""
        told = {"operation": operation, "region": region, **of}
        return self.part(service, namespace="aws", aws=told)

    def put_annotation(self, key: str, value: Any) -> None:
        """Say something of what is open, by which traces can be searched."""
        if self._open:
            self._open[-1].put_annotation(key, value)

    def put_metadata(self, key: str, value: Any, namespace: str = "default") -> None:
        """Say something of what is open, by which they cannot."""
        if self._open:
            self._open[-1].put_metadata(key, value, namespace)

    def in_subsegment_async(
        self, name: str | None = None, **kwargs: Any
    ) -> AbstractAsyncContextManager[BaseSegment]:
        """Raises: NotImplementedError: nothing here is asynchronous."""
        raise NotImplementedError(f"{name!r} is asynchronous")

    def patch(self, modules: Any) -> None:
        """Raises: NotImplementedError: each client is followed when it is made (`follow`)."""
        raise NotImplementedError(f"{modules!r} is not patched")

    def patch_all(self) -> None:
        """Raises: NotImplementedError, as `patch`."""
        self.patch("all")


@cache
def xray() -> XRay:
    """What is open in this process."""
    return XRay()


@cache
def tracer(service: str) -> Tracer:
    """Powertools' Tracer of one function. Never disabled: each call says whether it is traced."""
    return Tracer(service=service, disabled=False, auto_patch=False, provider=xray())


def traced(service: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator: calls of a handler that X-Ray samples are told with their parts.

    The handler is annotated with ColdStart and Service, by Powertools' Tracer. What it answers
    is not told.
    """

    def decorate(handler: Callable[P, R]) -> Callable[P, R]:
        @wraps(handler)
        def call(*given: P.args, **more: P.kwargs) -> R:
            capture = tracer(service).capture_lambda_handler
            captured = capture(handler, capture_response=False, capture_error=False)
            answer: R = captured(*given, **more)
            return answer

        return call

    return decorate


def follow(client: Any) -> None:
    """Have X-Ray told of the requests of a boto3 client that are part of a sampled call."""
    events = client.meta.events
    events.register("before-parameter-build", _asked)
    events.register("after-call", _answered)
    events.register("after-call-error", _failed)


def _asked(params: Any, model: Any, context: dict[str, Any], **_: Any) -> None:
    of = {"bucket_name": params.get("Bucket"), "table_name": params.get("TableName")}
    context[_OPEN] = xray().aws_request(
        model.service_model.endpoint_prefix,
        model.name,
        context.get("client_region", ""),
        **{name: value for name, value in of.items() if value},
    )


def _answered(http_response: Any, parsed: Any, context: dict[str, Any], **_: Any) -> None:
    said, error = parsed.get("ResponseMetadata", {}), parsed.get("Error", {})
    aws = {"request_id": said.get("RequestId"), "retries": said.get("RetryAttempts")}
    context[_OPEN].answered(http_response.status_code, error_code=error.get("Code"), **aws)


def _failed(exception: Exception, context: dict[str, Any], **_: Any) -> None:
    context[_OPEN].failed(exception)
