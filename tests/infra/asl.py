"""A small interpreter of the Amazon States Language, for what our state machine is made of.

Task (Parameters, ResultPath, Retry), Choice (BooleanEquals), Wait, Succeed; paths `$`, `$.a.b`,
`$$.a`; the intrinsic function States.Format. Whatever else a definition holds is an error, so that
nothing passes unseen. Semantics: states-language.net; no time passes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Service = Callable[[str, dict[str, Any]], Any]  # a resource's ARN and its input -> its result
_KNOWN = {
    "Task": {"Type", "Resource", "Parameters", "ResultPath", "Retry", "Next", "End", "Comment"},
    "Choice": {"Type", "Choices", "Default", "Comment"},
    "Wait": {"Type", "Seconds", "Next"},
    "Succeed": {"Type", "Comment"},
}


class StateError(Exception):
    """A task failed with a named error."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def run(
    definition: dict[str, Any], data: dict[str, Any], *, name: str, call: Service
) -> tuple[list[str], dict[str, Any]]:
    """The names of the states passed through, and the output.

    Raises: what a task raised, if no retry is left.
    """
    context = {"Execution": {"Name": name, "Input": data}}
    passed, state_name = [], definition["StartAt"]
    while True:
        state = definition["States"][state_name]
        passed.append(state_name)
        if unknown := set(state) - _KNOWN[state["Type"]]:
            raise NotImplementedError(f"{state_name} has {unknown}")
        if state["Type"] == "Succeed":
            return passed, data
        if state["Type"] == "Choice":
            state_name = _choose(state, data)
            continue
        if state["Type"] == "Wait":
            state_name = state["Next"]
            continue
        result = _call(state, fill(state["Parameters"], data, context), call)
        data = _put(data, state.get("ResultPath", "$"), result)
        if state.get("End"):
            return passed, data
        state_name = state["Next"]


def fill(template: Any, data: dict[str, Any], context: dict[str, Any]) -> Any:
    """A payload template with its paths and functions replaced."""
    if isinstance(template, list):
        return [fill(one, data, context) for one in template]
    if not isinstance(template, dict):
        return template
    return {
        key.removesuffix(".$"): _value(value, data, context)
        if key.endswith(".$")
        else fill(value, data, context)
        for key, value in template.items()
    }


def _value(expression: str, data: dict[str, Any], context: dict[str, Any]) -> Any:
    call = re.fullmatch(r"States\.Format\('(.*)', (\S+)\)", expression)
    if call:
        return call[1].replace("{}", str(_value(call[2], data, context)))
    found: Any = context if expression.startswith("$$") else data
    for step in expression.lstrip("$").split(".")[1:]:
        found = found[step]
    return found


def _choose(state: dict[str, Any], data: dict[str, Any]) -> str:
    for rule in state["Choices"]:
        if set(rule) != {"Variable", "BooleanEquals", "Next"}:
            raise NotImplementedError(rule)
        if _value(rule["Variable"], data, {}) is rule["BooleanEquals"]:
            return str(rule["Next"])
    return str(state["Default"])


def _call(state: dict[str, Any], payload: dict[str, Any], call: Service) -> Any:
    tries: dict[int, int] = {}
    while True:
        try:
            return call(state["Resource"], payload)
        except StateError as error:
            fitting = [
                (number, retry)
                for number, retry in enumerate(state.get("Retry", ()))
                if error.name in retry["ErrorEquals"]
            ]
            if not fitting:
                raise
            number, retry = fitting[0]
            tries[number] = tries.get(number, 0) + 1
            if tries[number] > retry.get("MaxAttempts", 3):
                raise


def _put(data: dict[str, Any], path: str, result: Any) -> dict[str, Any]:
    if path == "$":
        return dict(result)
    return data | {path.removeprefix("$."): result}
