"""The templates as they would be deployed, without building a layer or calling AWS."""

from __future__ import annotations

import json
import re
import tarfile
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from advisor.aws import watching
from advisor.aws.watching import NOT_COUNTED, PHOTO_METRICS
from advisor.settings import PREFIX, Settings
from infra.layers import ONE_CORE, PROCESS
from infra.service_stack import CLASSIFY_ROUTES, CRAWL_ACTIONS
from infra.training_stack import source_archive
from tests.infra.conftest import synthesize
from tests.openapi import document

ROOT = Path(__file__).resolve().parents[2]
Template = dict[str, Any]
# What starts functions, by how the names of its recorded events begin.
TRIGGERS = {
    "AWS::ApiGatewayV2::Integration": "http",
    "AWS::Lambda::EventSourceMapping": "sqs",
    "AWS::Scheduler::Schedule": "schedule",
    "AWS::SNS::Subscription": "sns",
    "AWS::StepFunctions::StateMachine": "states",
}


def resources(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    return {
        name: resource
        for name, resource in template["Resources"].items()
        if resource["Type"] == kind
    }


def our_functions(template: Template) -> dict[str, dict[str, Any]]:
    """Functions of ours by their folder's name."""
    return {
        name: resource["Properties"]
        for resource in resources(template, "AWS::Lambda::Function").values()
        if (name := folder_of(resource))
    }


def folder_of(function: dict[str, Any]) -> str | None:
    """The folder's name of a function of ours."""
    variables = function["Properties"].get("Environment", {}).get("Variables", {})
    name: str | None = variables.get("POWERTOOLS_SERVICE_NAME")
    return name


def test_what_must_not_be_lost_is_kept_when_the_stack_goes(aws: dict[str, Template]) -> None:
    kept = resources(aws["Storage"], "AWS::S3::Bucket") | resources(
        aws["Storage"], "AWS::DynamoDB::GlobalTable"
    )
    assert len(kept) == 10
    assert {resource["DeletionPolicy"] for resource in kept.values()} == {"Retain"}


def test_every_bucket_is_private_and_encrypted(aws: dict[str, Template]) -> None:
    buckets = {
        name: resource["Properties"]
        for template in aws.values()
        for name, resource in resources(template, "AWS::S3::Bucket").items()
    }
    for name, properties in buckets.items():
        assert all(properties["PublicAccessBlockConfiguration"].values()), name
        assert "BucketEncryption" in properties, name


def test_every_function_runs_python_3_13_with_our_package_and_powertools(
    aws: dict[str, Template],
) -> None:
    functions = our_functions(aws["Service"])
    assert set(functions) == {path.parent.name for path in ROOT.glob("functions/*/handler.py")}
    for properties in functions.values():
        assert properties["Runtime"] == "python3.13"
        assert properties["Architectures"] == ["x86_64"]
        assert len(properties["Layers"]) >= 2


def test_functions_give_large_memory_back_to_the_kernel(aws: dict[str, Template]) -> None:
    for properties in our_functions(aws["Service"]).values():
        assert PROCESS.items() <= properties["Environment"]["Variables"].items()


def test_only_functions_with_more_than_one_core_start_threads_for_numpy(
    aws: dict[str, Template],
) -> None:
    threaded = {
        name
        for name, properties in our_functions(aws["Service"]).items()
        if not ONE_CORE.items() <= properties["Environment"]["Variables"].items()
    }
    assert threaded == {"index"}


def test_functions_get_the_settings_they_read_and_no_unknown_ones(
    aws: dict[str, Template],
) -> None:
    known = {field.name for field in fields(Settings)}
    for name, properties in our_functions(aws["Service"]).items():
        variables = properties["Environment"]["Variables"]
        given = {key.removeprefix(PREFIX).lower() for key in variables if key.startswith(PREFIX)}
        source = (ROOT / "functions" / name / "handler.py").read_text(encoding="utf-8")
        read = set(re.findall(r"settings(?:\(\))?\.([a-z_]+)", source)) & known
        assert read, f"{name} reads no setting that this test can see"
        assert given <= known
        assert read <= given, f"{name} reads {read - given}, which it is not given"


def test_no_grant_of_ours_is_for_everything(aws: dict[str, Template]) -> None:
    for stack in ("Storage", "Service", "Training"):
        for name, policy in resources(aws[stack], "AWS::IAM::Policy").items():
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
                actions = statement["Action"]
                for action in [actions] if isinstance(actions, str) else actions:
                    assert action != "*", name
                    assert not action.endswith(":*"), name
                    assert action != "s3:DeleteObject*", name
                    if action == "s3:DeleteObject":  # only of what can be made anew
                        places = [one["Fn::Join"][1][-1] for one in statement["Resource"]]
                        assert places == ["/index/*", "/listing/*"], name


def test_a_crawl_turn_times_out_before_its_token_is_seen_again(aws: dict[str, Template]) -> None:
    crawl = our_functions(aws["Service"])["crawl"]
    assert crawl["RecursiveLoop"] == "Allow"
    queues = resources(aws["Service"], "AWS::SQS::Queue")
    (tokens,) = [queue for name, queue in queues.items() if name.startswith("Tokens")]
    assert crawl["Timeout"] < tokens["Properties"]["VisibilityTimeout"]


def test_work_queues_have_dead_letters_and_batches_fail_in_part(aws: dict[str, Template]) -> None:
    queues = resources(aws["Service"], "AWS::SQS::Queue")
    for name, queue in queues.items():
        assert ("RedrivePolicy" in queue["Properties"]) != name.startswith("Dead"), name
    mappings = resources(aws["Service"], "AWS::Lambda::EventSourceMapping").values()
    batches = [one["Properties"] for one in mappings if one["Properties"]["BatchSize"] > 1]
    assert [one["FunctionResponseTypes"] for one in batches] == [["ReportBatchItemFailures"]]
    assert all("ScalingConfig" in one["Properties"] for one in mappings)


def test_there_is_a_recorded_event_for_each_trigger_of_each_function(
    aws: dict[str, Template],
) -> None:
    functions = resources(aws["Service"], "AWS::Lambda::Function")
    started = {
        (folder, kind)
        for template in aws.values()
        for resource in template["Resources"].values()
        if (kind := TRIGGERS.get(resource["Type"]))
        for logical_id, function in functions.items()
        if (folder := folder_of(function)) and logical_id in json.dumps(resource["Properties"])
    }
    recorded = json.loads((ROOT / "tests" / "events" / "functions.json").read_bytes())
    assert started == {(of, event.partition("_")[0]) for event, of in recorded.items()}


def test_a_shop_is_crawled_on_its_schedule(aws: dict[str, Template]) -> None:
    schedules = resources(aws["Service"], "AWS::Scheduler::Schedule").values()
    (crawl,) = [one for one in schedules if "Input" in one["Properties"]["Target"]]
    assert crawl["Properties"]["ScheduleExpression"] == "rate(1 day)"
    event = json.loads(crawl["Properties"]["Target"]["Input"])
    assert event == {"spider": "harveynorman", "limit": 50, "trigger": "schedule"}


def test_only_whom_iam_allows_may_touch_crawls_and_reviews(aws: dict[str, Template]) -> None:
    routes = resources(aws["Service"], "AWS::ApiGatewayV2::Route").values()
    kinds = {one["Properties"]["RouteKey"]: one["Properties"] for one in routes}
    private = {key for key in kinds if re.search("/(crawls|reviews|why|days)", key)}
    assert {"POST /crawls", "GET /crawls", "POST /crawls/{run_id}/stop"} <= private
    assert {"GET /reviews/photos", "POST /reviews/matches"} <= private
    for key, properties in kinds.items():
        signed = properties.get("AuthorizationType") == "AWS_IAM"
        assert signed == (key in private), key


def test_every_route_is_in_the_openapi_document_and_none_more(aws: dict[str, Template]) -> None:
    routes = resources(aws["Service"], "AWS::ApiGatewayV2::Route").values()
    deployed = {
        one["Properties"]["RouteKey"]: one["Properties"].get("AuthorizationType") == "AWS_IAM"
        for one in routes
    }
    documented = {
        f"{method.upper()} {path}": operation.get("security") == [{"iam": []}]
        for path, operations in document()["paths"].items()
        for method, operation in operations.items()
    }
    assert documented == deployed


def test_no_other_site_may_read_what_the_api_answers(aws: dict[str, Template]) -> None:
    [api] = resources(aws["Service"], "AWS::ApiGatewayV2::Api").values()
    assert "CorsConfiguration" not in api["Properties"]
    for bucket in resources(aws["Storage"], "AWS::S3::Bucket").values():
        assert "CorsConfiguration" not in bucket["Properties"]


def test_public_routes_are_throttled(aws: dict[str, Template]) -> None:
    routes = resources(aws["Service"], "AWS::ApiGatewayV2::Route").values()
    assert {"POST /classify", "POST /suggestions", "GET /images/{image_id}"} <= {
        one["Properties"]["RouteKey"] for one in routes
    }
    (stage,) = resources(aws["Service"], "AWS::ApiGatewayV2::Stage").values()
    assert stage["Properties"]["DefaultRouteSettings"]["ThrottlingRateLimit"] > 0


def test_the_page_may_load_nothing_from_elsewhere(aws: dict[str, Template]) -> None:
    (policy,) = resources(aws["Web"], "AWS::CloudFront::ResponseHeadersPolicy").values()
    text = json.dumps(policy)
    assert "default-src 'none'" in text
    assert "unsafe" not in text


def test_a_signed_request_passes_the_distribution_as_it_was_signed(
    aws: dict[str, Template],
) -> None:
    """For the API's own host, which CloudFront puts in the place of the site's."""
    (distribution,) = resources(aws["Web"], "AWS::CloudFront::Distribution").values()
    config = distribution["Properties"]["DistributionConfig"]
    (api,) = config["CacheBehaviors"]
    assert api["PathPattern"] == "/api/*"  # the stage's own name: the path stays as it is
    # AWS's own names for AllViewerExceptHostHeader and CachingDisabled.
    assert api["OriginRequestPolicyId"] == "b689b0a8-53d0-40ab-baf2-68738e2966ac"
    assert api["CachePolicyId"] == "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
    (origin,) = [one for one in config["Origins"] if "CustomOriginConfig" in one]
    assert "OriginPath" not in origin
    (deployment,) = resources(aws["Web"], "Custom::CDKBucketDeployment").values()
    (markers,) = [one for one in deployment["Properties"]["SourceMarkers"] if one]
    joined = [value["Fn::Join"][1] for value in markers.values()]
    domain = origin["DomainName"]["Fn::Join"][1]
    domain = domain if domain[0] else domain[1:]
    assert ['"https://', *domain, '/api"'] in joined
    assert ['"', {"Ref": "AWS::Region"}, '"'] in joined


def test_local_differs_only_where_the_emulator_has_a_gap(
    aws: dict[str, Template], local: dict[str, Template]
) -> None:
    assert set(aws) - set(local) == {"Training"}  # no SageMaker there

    def types(template: Template) -> set[str]:
        return {resource["Type"] for resource in template["Resources"].values()}

    for stack in ("Storage", "Service"):
        assert types(aws[stack]) - types(local[stack]) <= {"AWS::S3::BucketPolicy"}  # enforce_ssl
        assert types(local[stack]) <= types(aws[stack])
    assert our_functions(aws["Service"]).keys() == our_functions(local["Service"]).keys()


def test_the_page_may_show_photos_by_their_presigned_addresses(aws: dict[str, Template]) -> None:
    outputs = aws["Storage"]["Outputs"].values()
    (data,) = [name for name in aws["Storage"]["Resources"] if name.startswith("Data")
               and aws["Storage"]["Resources"][name]["Type"] == "AWS::S3::Bucket"]  # fmt: skip
    (export,) = [
        one["Export"]["Name"]
        for one in outputs
        if one["Value"] == {"Fn::GetAtt": [data, "RegionalDomainName"]}
    ]
    (policy,) = resources(aws["Web"], "AWS::CloudFront::ResponseHeadersPolicy").values()
    assert f'img-src \'self\' blob: data: https://", {{"Fn::ImportValue": "{export}"}}' in (
        json.dumps(policy)
    )


def test_a_batch_of_photos_is_seen_again_only_after_six_timeouts(aws: dict[str, Template]) -> None:
    # AWS advises six times the function's timeout, so that throttled batches are not lost.
    queues = resources(aws["Service"], "AWS::SQS::Queue")
    (photos,) = [queue for name, queue in queues.items() if name.startswith("Photos")]
    classify = our_functions(aws["Service"])["classify"]
    assert photos["Properties"]["VisibilityTimeout"] >= 6 * classify["Timeout"]


def statements_of(template: Template, function: str) -> list[dict[str, Any]]:
    """What a function's role may do."""
    (policy,) = [
        policy
        for name, policy in resources(template, "AWS::IAM::Policy").items()
        if name.startswith(f"{function}ServiceRole")
    ]
    found: list[dict[str, Any]] = policy["Properties"]["PolicyDocument"]["Statement"]
    return found


def test_functions_may_touch_only_what_they_use(aws: dict[str, Template]) -> None:
    def said(function: str) -> str:
        return json.dumps(statements_of(aws["Service"], function))

    assert "/images/*" in said(
        "Catalog"
    )  # it gives photos' addresses, which are good for who signs
    assert "/images/*" not in said("PublishModel")  # it lists photos and reads none
    assert "s3:ListBucket" in said("PublishModel")
    assert "s3:Put" not in said("Classify")


def test_reviews_change_nothing_but_reviews(aws: dict[str, Template]) -> None:
    granted = {}
    for statement in statements_of(aws["Service"], "Reviews"):
        where = re.search(
            r"GetAtt(Days|Labels|Products|Reviews)", json.dumps(statement["Resource"])
        )
        if where:
            granted[where[1]] = {one.removeprefix("dynamodb:") for one in _actions(statement)}
        else:
            assert all(one.startswith(("s3:Get", "s3:List"))
                       for one in _actions(statement)), statement  # fmt: skip
    assert granted == {
        "Days": {"Query"},
        "Labels": {"Query", "UpdateItem"},  # marks photos that were looked at
        "Products": {"BatchGetItem"},
        "Reviews": {"BatchGetItem", "DeleteItem", "GetItem", "PutItem", "Query"},
    }
    for function in ("Classify", "Catalog", "Index", "PlanTraining"):  # they follow decisions
        (actions,) = [
            _actions(statement)
            for statement in statements_of(aws["Service"], function)
            if "GetAttReviews" in json.dumps(statement["Resource"])
        ]
        assert actions == ["dynamodb:Query"], function


def test_a_crawl_touches_in_the_bucket_only_what_it_writes(aws: dict[str, Template]) -> None:
    """And the functions beside it touch no object, or only the records."""
    prefixes = {}
    for statement in statements_of(aws["Service"], "Crawl"):
        (action, *more) = _actions(statement)
        if action.startswith("s3:"):
            assert more == []
            prefixes[action] = re.findall(r'"/([a-z]+)/\*"', json.dumps(statement["Resource"]))
            listing = statement.get("Condition")
    assert prefixes == {
        "s3:PutObject": ["pages", "items", "images", "visits"],
        "s3:GetObject": ["pages", "items", "images", "visits"],
        "s3:ListBucket": [],
    }
    assert listing == {"StringLike": {"s3:prefix": ["visits/*", "items/*"]}}
    for function in ("StartCrawl", "SweepCrawls"):
        assert "s3:" not in json.dumps(statements_of(aws["Service"], function)), function
    asked = [one for one in statements_of(aws["Service"], "Crawls") if "s3:" in json.dumps(one)]
    assert [_actions(one) for one in asked] == [["s3:GetObject"], ["s3:ListBucket"]]
    assert re.findall(r'"/([a-z]+)/\*"', json.dumps(asked[0]["Resource"])) == ["visits"]
    assert asked[1]["Condition"] == {"StringLike": {"s3:prefix": ["visits/*"]}}


def test_a_crawl_may_do_to_its_tables_what_it_does_and_no_more(aws: dict[str, Template]) -> None:
    """What it does is compared with CRAWL_ACTIONS where it does it (tests/functions)."""
    for function, tables in CRAWL_ACTIONS.items():
        name = "".join(word.capitalize() for word in function.split("_"))
        granted = {
            json.dumps(statement["Resource"]): set(_actions(statement))
            for statement in statements_of(aws["Service"], name)
            if _actions(statement)[0].startswith("dynamodb:")
        }
        for table, actions in tables.items():
            (resource,) = [one for one in granted if f"GetAtt{table.capitalize()}" in one]
            assert granted.pop(resource) == {f"dynamodb:{action}" for action in actions}
        assert [one for one in granted if "GetAttAlerts" not in one] == [], function


def _actions(statement: dict[str, Any]) -> list[str]:
    action = statement["Action"]
    return [action] if isinstance(action, str) else list(action)


def test_no_log_outlives_its_stack(aws: dict[str, Template]) -> None:
    for template in aws.values():
        for name, group in resources(template, "AWS::Logs::LogGroup").items():
            assert group["DeletionPolicy"] == "Delete", name
            assert group["Properties"]["RetentionInDays"], name


def test_the_training_source_is_the_same_bytes_every_time() -> None:
    first = source_archive().read_bytes()
    assert source_archive().read_bytes() == first


def test_training_runs_with_the_same_packages_there_as_here() -> None:
    with tarfile.open(source_archive()) as archive:
        member = archive.extractfile("requirements.txt")
        assert member
        wanted = [line for line in member.read().decode().split("\n") if line and line[0] != "#"]
    for line in wanted:
        name, _, pinned = line.partition("==")
        assert version(name) == pinned, line
    assert {"tensorflow", "tensorflow-hub", "numpy", "pillow"} <= {
        line.partition("==")[0] for line in wanted
    }


def test_alarms_are_told_to_a_topic_and_cover_errors_p99_dead_letters_and_age(
    aws: dict[str, Template],
) -> None:
    alarms = [
        one["Properties"] for one in resources(aws["Service"], "AWS::CloudWatch::Alarm").values()
    ]
    functions = our_functions(aws["Service"])
    seen = [
        (one["Namespace"], one["MetricName"], one.get("ExtendedStatistic", one.get("Statistic")))
        for one in alarms
    ]
    assert seen.count(("AWS/Lambda", "Errors", "Sum")) == len(functions)
    assert seen.count(("AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum")) == 2
    assert seen.count(("AWS/SQS", "ApproximateAgeOfOldestMessage", "Maximum")) == 2
    assert seen.count(("AWS/ApiGateway", "5xx", "Sum")) == 1
    assert seen.count(("AWS/ApiGateway", "Latency", "p99")) == 1
    assert seen.count((watching.NAMESPACE, NOT_COUNTED, "Sum")) == 1
    assert len(seen) == len(functions) + 7
    for alarm in alarms:
        assert alarm["AlarmActions"] == alarm["OKActions"]
        assert alarm["AlarmActions"][0]["Ref"].startswith("WatchingAlarms")
    (policy,) = [
        one["Properties"]["PolicyDocument"]["Statement"]
        for name, one in resources(aws["Service"], "AWS::SNS::TopicPolicy").items()
        if name.startswith("WatchingAlarms")
    ]
    assert {"Service": "cloudwatch.amazonaws.com"} in [one["Principal"] for one in policy]


def test_calls_of_classify_are_traced_and_it_may_do_no_more_for_it(
    aws: dict[str, Template],
) -> None:
    assert our_functions(aws["Service"])["classify"]["TracingConfig"] == {"Mode": "Active"}
    granted = [
        statement
        for one in resources(aws["Service"], "AWS::IAM::Policy").values()
        for statement in one["Properties"]["PolicyDocument"]["Statement"]
        if "xray" in str(statement["Action"])
    ]
    (statement,) = granted
    assert set(statement["Action"]) == {"xray:PutTelemetryRecords", "xray:PutTraceSegments"}


def test_the_dashboard_shows_the_metrics_that_functions_write(aws: dict[str, Template]) -> None:
    (dashboard,) = resources(aws["Service"], "AWS::CloudWatch::Dashboard").values()
    body = json.dumps(dashboard["Properties"]["DashboardBody"])
    shown = set(re.findall(r"MetricName=[^A-Za-z]*([A-Za-z]+)", body))
    assert shown == {"ColdStart", *PHOTO_METRICS}
    assert set(re.findall(r"SEARCH\('{([A-Za-z]+),", body)) == {watching.NAMESPACE}


def test_a_stranger_can_run_up_no_bill(aws: dict[str, Template]) -> None:
    """Each public function has a limit of its own, and each costly route a lower one."""
    functions = our_functions(aws["Service"])
    for name in ("classify", "catalog"):
        assert 0 < functions[name]["ReservedConcurrentExecutions"] <= 10, name
    (stage,) = resources(aws["Service"], "AWS::ApiGatewayV2::Stage").values()
    throttles = stage["Properties"]["RouteSettings"]
    rate = stage["Properties"]["DefaultRouteSettings"]["ThrottlingRateLimit"]
    routes = resources(aws["Service"], "AWS::ApiGatewayV2::Route")
    keys = {one["Properties"]["RouteKey"] for one in routes.values()}
    assert set(throttles) == {*CLASSIFY_ROUTES, "POST /uploads"} <= keys  # those run the model
    assert all(0 < one["ThrottlingRateLimit"] < rate for one in throttles.values())
    limited = {name for name, one in routes.items() if one["Properties"]["RouteKey"] in throttles}
    assert limited <= set(stage["DependsOn"])  # CloudFormation refuses a limit of no route


def test_an_account_of_a_small_quota_can_do_without_reserved_calls(tmp_path: Path) -> None:
    functions = our_functions(synthesize(tmp_path, reserve_concurrency="false")["Service"])
    assert not any("ReservedConcurrentExecutions" in one for one in functions.values())


def test_indexes_are_files_unless_a_bucket_of_vectors_is_asked_for(
    aws: dict[str, Template], tmp_path: Path
) -> None:
    for template in (aws, synthesize(tmp_path / "local", s3_vectors="true", local="true")):
        assert "s3vectors" not in json.dumps(template).lower()
        functions = our_functions(template["Service"])
        for name in ("classify", "index"):
            assert functions[name]["Environment"]["Variables"]["ADVISOR_INDEXES"] == "files"


def test_functions_may_do_with_vectors_what_they_do(tmp_path: Path) -> None:
    template = synthesize(tmp_path, s3_vectors="true")
    [bucket] = resources(template["Storage"], "AWS::S3Vectors::VectorBucket").values()
    assert bucket["DeletionPolicy"] == "Retain"
    functions = our_functions(template["Service"])
    for name, actions in (
        ("classify", {"GetVectors", "QueryVectors"}),
        ("index", {"CreateIndex", "DeleteIndex", "DeleteVectors", "PutVectors", "ListIndexes"}),
    ):
        setting = functions[name]["Environment"]["Variables"]["ADVISOR_INDEXES"]
        granted = [
            (action.removeprefix("s3vectors:"), statement["Resource"])
            for statement in statements_of(template["Service"], name.capitalize())
            for action in _actions(statement)
            if action.startswith("s3vectors:")
        ]
        assert {action for action, _ in granted} == actions
        for action, resource in granted:
            of_indexes = {"Fn::Join": ["", [setting, "/index/*"]]}
            assert resource == (setting if action == "ListIndexes" else of_indexes)
        assert "/vectors/*" in json.dumps(statements_of(template["Service"], name.capitalize()))
