"""Looks things up in synthesized templates."""

from __future__ import annotations

from typing import Any

Template = dict[str, Any]


def variables_of(function: str, template: Template) -> dict[str, Any]:
    """A function's environment, with references to other resources as the template has them."""
    return dict(_properties(function, template)["Environment"]["Variables"])


def layers_of(function: str, template: Template) -> list[str]:
    """The folders of layers/ that a function gets."""
    layers = _properties(function, template)["Layers"]
    return [layer["Ref"].partition("Layer")[0].lower() for layer in layers]


def tables_of(storage: Template) -> dict[str, Template]:
    """The arguments of DynamoDB's CreateTable by the setting that names the table."""
    names = ("AttributeDefinitions", "BillingMode", "GlobalSecondaryIndexes", "KeySchema")
    return {
        f"{logical_id[:-8].lower()}_table": {
            name: resource["Properties"][name] for name in names if name in resource["Properties"]
        }
        for logical_id, resource in storage["Resources"].items()
        if resource["Type"] == "AWS::DynamoDB::GlobalTable"
    }


def _properties(function: str, template: Template) -> Template:
    for resource in template["Resources"].values():
        properties: Template = resource["Properties"]
        variables = properties.get("Environment", {}).get("Variables", {})
        if variables.get("POWERTOOLS_SERVICE_NAME") == function:
            return properties
    raise LookupError(function)
