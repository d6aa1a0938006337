"""docs/openapi.json is made of the functions' routes, and no function loads what makes it."""

from __future__ import annotations

import subprocess
import sys

from openapi_spec_validator import OpenAPIV31SpecValidator

from local import openapi
from tests.openapi import document


def test_the_document_is_what_the_functions_say_today() -> None:
    assert document() == openapi.document(), "run `make openapi`"


def test_the_document_is_valid_openapi_3_1() -> None:
    assert document()["openapi"].startswith("3.1.")
    assert [str(error) for error in OpenAPIV31SpecValidator(document()).iter_errors()] == []


def test_the_document_tells_limits_and_what_a_body_may_be() -> None:
    classify = document()["paths"]["/classify"]["post"]
    top_k = next(one for one in classify["parameters"] if one["name"] == "top_k")
    limits = {"type": "integer", "minimum": 1, "maximum": 20, "default": 5}
    assert {name: top_k["schema"][name] for name in limits} == limits
    assert sorted(classify["requestBody"]["content"]) == [
        "application/json",
        "application/octet-stream",
        "image/*",
        "multipart/form-data",
    ]
    assert {"400", "404", "413", "415", "422", "429", "503"} <= classify["responses"].keys()


def test_no_handler_loads_pydantic() -> None:
    modules = ("catalog", "classify", "crawls", "reviews")
    imports = ";".join(f"import functions.{one}.handler" for one in modules)
    code = f"import sys;{imports};assert 'pydantic' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
