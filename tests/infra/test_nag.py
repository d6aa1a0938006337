"""cdk-nag's rules on all stacks: what it finds is accepted here with the reason, or mended."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

import aws_cdk as cdk
import pytest
from cdk_nag import AwsSolutionsChecks

from infra.app import build
from tests.infra.conftest import ROOT, SHOPS

# Rule and construct (both as patterns) -> why it may stay.
ACCEPTED: Final = {
    (r"S1", r".*"): "access logs of buckets nobody reads by hand; CloudTrail data events where"
    " an account wants them",
    (r"IAM4\[.*AWSLambdaBasicExecutionRole\]", r".*"): "lets a function write its own log only",
    (r"IAM5\[Action::s3:(GetObject|GetBucket|List|Abort|DeleteObject)\*\]", r".*"): "the CDK's"
    " grants on one bucket, most on one prefix; only BucketDeployment deletes, in the site",
    (r"IAM5\[Resource::.*/(\*|[a-z/]+/\*)\]", r".*"): "objects of one prefix, or an asset bucket",
    (r"IAM5\[Resource::.*/index/\*\]", r".*"): "the indices of one table",
    (r"IAM5\[Resource::.*:\*\]", r".*"): "the versions of one function",
    (r"IAM5\[Resource::.*TrainingJobs\*\]", r"ProductsAdvisor-Training/JobRole/.*"): "the log of"
    " training jobs, whose streams are named by SageMaker",
    (r"IAM5\[Resource::.*training-job/\*\]", r"ProductsAdvisor-Training/Training/.*"): "a job is"
    " named by its execution",
    (r"IAM5\[Resource::\*\]", r".*"): "calls that have no resource: X-Ray, log delivery, ECR's"
    " token, metrics of one namespace, bucket notifications",
    (r"APIG4", r".*"): "public on purpose, and throttled; what changes something needs IAM",
    (r"L1", r".*"): "Python 3.13, the newest that TensorFlow and the layers' wheels are made for",
    (r"CFR[1-4]", r".*"): "a public page without personal data: all countries, no firewall, the"
    " default certificate until there is a domain of its own; API logs tell who asked",
}


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    """Rule and construct of each finding."""
    folder = tmp_path_factory.mktemp("nag")
    training = {"schedule": "rate(7 days)", "check": "rate(1 day)"}
    app = cdk.App(outdir=str(folder), context={"shops": SHOPS, "training": training})
    build(app, layer_folder=lambda name: ROOT / "layers" / name)
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    with pytest.raises(Exception, match="ValidationFailed"):
        app.synth()
    return read_report(folder / "validation-report.json")


def read_report(file: Path) -> set[tuple[str, str]]:
    report = json.loads(file.read_text(encoding="utf-8"))
    return {
        (violation["ruleName"].removeprefix("AwsSolutions-"), one["constructPath"])
        for plugin in report["pluginReports"]
        for violation in plugin["violations"]
        for one in violation["violatingConstructs"]
    }


def is_accepted(finding: tuple[str, str], by: tuple[str, str]) -> bool:
    return all(re.fullmatch(*pair) for pair in zip(by, finding, strict=True))


def test_what_is_found_is_mended_or_accepted_with_a_reason(
    findings: set[tuple[str, str]],
) -> None:
    open_ones = {one for one in findings if not any(is_accepted(one, by) for by in ACCEPTED)}
    assert open_ones == set()


def test_nothing_is_accepted_that_is_not_found(findings: set[tuple[str, str]]) -> None:
    idle = [by for by in ACCEPTED if not any(is_accepted(one, by) for one in findings)]
    assert idle == []
