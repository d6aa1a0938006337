"""The state machine of the template, run step by step: our functions and our training program are
the real ones on moto's S3 and SQS; SageMaker is this process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from advisor.aws import clients
from advisor.aws.clients import client
from advisor.aws.models import CORRECTIONS, ModelStore
from advisor.aws.reviews import PHOTO, Decision, ReviewTable
from advisor.vision.bundle_info import BundleInfo
from advisor.vision.images import image_id
from functions.plan_training import handler as plan_training
from functions.publish_model import handler as publish_model
from infra.training_settings import TrainingError, read_training
from tests.infra.asl import StateError, run
from tests.infra.conftest import synthesize
from tests.training import tiny
from training.train import main

Template = dict[str, Any]
FLAGS = {"backbone": str(tiny.BACKBONE), "min-images": "5", "test-percent": "20", "fine-tune": "0"}


def resources(template: Template, kind: str) -> list[dict[str, Any]]:
    return [one["Properties"] for one in template["Resources"].values() if one["Type"] == kind]


def definition_of(template: Template) -> dict[str, Any]:
    """The definition, with what only CloudFormation knows as its own name."""
    (machine,) = resources(template, "AWS::StepFunctions::StateMachine")
    parts = machine["DefinitionString"]["Fn::Join"][1]
    text = "".join(part if isinstance(part, str) else _name(part) for part in parts)
    definition: dict[str, Any] = json.loads(text)
    return definition


def _name(part: dict[str, Any]) -> str:
    (value,) = part.values()
    name = value if isinstance(value, str) else value[0]
    known = {"RefData": "data", "RefEmbeddings": "embeddings"}
    found = next((short for part, short in known.items() if part in name), "")
    return found or name.rpartition("Fn")[2].replace("AWS::", "")


@pytest.fixture
def photos(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An account with a data bucket of photos, an uploads bucket, a queue, two tables."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    _forget_clients()
    with mock_aws():
        for name in ("data", "uploads"):
            client("s3").create_bucket(Bucket=name)
        client("sqs").create_queue(QueueName="photos")
        for table, keys in {"reviews": ("kind", "about"), "embeddings": ("shelf", "photo")}.items():
            kinds = dict(zip(keys, ("HASH", "RANGE"), strict=True))
            client("dynamodb").create_table(
                TableName=table,
                KeySchema=[{"AttributeName": name, "KeyType": kinds[name]} for name in keys],
                AttributeDefinitions=[{"AttributeName": one, "AttributeType": "S"} for one in keys],
                BillingMode="PAY_PER_REQUEST",
            )
        yield tiny.make_photos(tmp_path / "images", each=20)
    _forget_clients()


def _forget_clients() -> None:
    clients.client.cache_clear()
    clients.table.cache_clear()


def put_photos(photos: Path) -> None:
    for path in photos.rglob("*.png"):
        key = f"images/{path.relative_to(photos).as_posix()}"
        client("s3").put_object(Bucket="data", Key=key, Body=path.read_bytes())


class Account:
    """What the machine's tasks reach."""

    def __init__(self, *, refusals: int = 0) -> None:
        self.refusals = refusals
        self.jobs: list[dict[str, Any]] = []
        self.status = 0
        self.indexed = 0

    def call(self, resource: str, payload: dict[str, Any]) -> Any:
        if "PlanTraining" in resource:
            return plan_training.handler(
                payload,
                None,
                models=lambda: ModelStore("data"),
                reviews=lambda: ReviewTable("reviews"),
            )
        if "PublishModel" in resource:
            return publish_model.handler(payload, None, services=self.services)
        if "Index" in resource:  # its own tests are tests/functions/test_indexes.py
            self.indexed += 1
            return {"complete": True}
        assert resource.endswith(":states:::sagemaker:createTrainingJob.sync")
        if self.refusals:
            self.refusals -= 1
            raise StateError("SageMaker.ResourceLimitExceededException")
        self.jobs.append(payload)
        return self.train(payload["HyperParameters"])

    def train(self, hyperparameters: dict[str, str]) -> dict[str, str]:
        """As the container does: each hyperparameter is JSON, and becomes a flag."""
        given = {name: json.loads(value) for name, value in hyperparameters.items()}
        flags = [
            f"--{name}={value}"
            for name, value in (given | FLAGS).items()
            if not name.startswith("sagemaker_")
        ]
        self.status = main(flags)
        if self.status:
            raise StateError("States.TaskFailed")
        return {"TrainingJobStatus": "Completed"}

    def services(self) -> publish_model.Services:
        return publish_model.Services(
            data_bucket="data",
            uploads_bucket="uploads",
            photos_queue_url=client("sqs").get_queue_url(QueueName="photos")["QueueUrl"],
            models=ModelStore("data"),
        )


def test_trains_and_publishes_the_first_model(aws: dict[str, Template], photos: Path) -> None:
    put_photos(photos)
    red = next((photos / "red").iterdir()).read_bytes()
    line = {"image": image_id(red), "label": "blue", "by": "ann", "at": "2026"}
    client("s3").put_object(Bucket="data", Key=CORRECTIONS, Body=json.dumps(line).encode())
    green = next((photos / "green, dark").iterdir()).read_bytes()
    ReviewTable("reviews").put(
        Decision(kind=PHOTO, about=image_id(green), said="red", by="bob", at="2027")
    )
    account = Account(refusals=2)  # no capacity at first
    passed, data = run(definition_of(aws["Training"]), {}, name="first", call=account.call)
    assert passed == [
        "Plan", "IsWorthIt", "Train", "Publish", "IsPublished",
        "WaitForLabels", "Index", "Published",
    ]  # fmt: skip
    assert account.indexed == 1
    assert data["publication"]["requeued"] == 60
    store = ModelStore("data")
    assert store.current().version == store.version_of_job("first")
    (job,) = account.jobs
    assert job["TrainingJobName"] == "first"
    info = BundleInfo.from_json(json.dumps(store.read_info(store.current().version)))
    assert info.data["corrections"]["changed"] == 2  # by hand, and in a review
    assert info.data["corrections"]["until"] == "2027"
    plan = client("s3").get_object(Bucket="data", Key="models/jobs/first.plan.json")
    assert json.loads(plan["Body"].read())["per_category"]["green, dark"] == 20


def test_photos_that_come_while_the_job_waits_are_for_the_next_one(
    aws: dict[str, Template], photos: Path
) -> None:
    put_photos(photos)
    put_object = client("s3").put_object
    for passed_over in ("in no category.png", "red/", "/red.png", "red//a.png", "red/../a.png",
                        "red/.hidden.png"):  # fmt: skip
        put_object(Bucket="data", Key=f"images/{passed_over}", Body=b"")

    class Slow(Account):
        def train(self, hyperparameters: dict[str, str]) -> dict[str, str]:
            put_object(Bucket="data", Key="images/red/new.png", Body=tiny.photo((1, 2, 3)))
            return super().train(hyperparameters)

    _, data = run(definition_of(aws["Training"]), {}, name="slow", call=Slow().call)
    assert data["plan"]["manifest"] == "s3://data/models/jobs/slow.manifest.jsonl"
    info = ModelStore("data").read_info(data["publication"]["version"])
    assert info["data"]["scanned"] == data["plan"]["photos"] == 60
    _, data = run(definition_of(aws["Training"]), {}, name="next", call=Account().call)
    assert data["plan"]["new"] == 1


def test_few_new_photos_are_not_trained_on(aws: dict[str, Template], photos: Path) -> None:
    put_photos(photos)
    definition, account = definition_of(aws["Training"]), Account()
    run(definition, {}, name="first", call=account.call)
    put_object = client("s3").put_object
    put_object(Bucket="data", Key="images/red/new.png", Body=tiny.photo((1, 2, 3)))
    passed, data = run(definition, {"least_new": 2}, name="check", call=account.call)
    assert passed == ["Plan", "IsWorthIt", "TooFewNewPhotos"]
    assert data["plan"]["new"] == 1
    assert len(account.jobs) == 1
    passed, data = run(definition, {"least_new": 1}, name="again", call=account.call)
    assert passed[-1] == "ModelInUseStays"
    assert data["publication"]["reason"].endswith("(p = 1)")
    assert ModelStore("data").current().version == ModelStore("data").version_of_job("first")


def test_a_failed_job_fails_the_run_and_publishes_nothing(
    aws: dict[str, Template], photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    del photos  # none is stored
    monkeypatch.setenv("SM_OUTPUT_DIR", str(tmp_path))
    account = Account()
    with pytest.raises(StateError, match=r"States\.TaskFailed"):
        run(definition_of(aws["Training"]), {}, name="empty", call=account.call)
    assert account.status == 2
    assert "nothing is stored under s3://data/images" in (tmp_path / "failure").read_text()
    assert ModelStore("data").versions() == []


def test_a_job_that_finds_no_capacity_is_given_up(aws: dict[str, Template], photos: Path) -> None:
    del photos
    account = Account(refusals=9)
    with pytest.raises(StateError, match="ResourceLimitExceeded"):
        run(definition_of(aws["Training"]), {}, name="poor", call=account.call)
    assert account.refusals == 9 - 4


def test_the_planning_function_refuses_what_it_cannot_use(photos: Path) -> None:
    from advisor.errors import UsageError

    for event in ({}, {"job": "a", "input": {"least_new": "5"}}, {"job": "a", "input": [1]}):
        with pytest.raises(UsageError, match="expected the job's name, and least_new"):
            plan_training.handler(event, None, models=lambda: ModelStore("data"))


def test_the_job_is_what_the_settings_say(tmp_path: Path) -> None:
    training = {
        "instance": "ml.c5.4xlarge", "spot": False, "time_limit_h": 1, "volume_gb": 99,
        "schedule": "rate(7 days)", "check": "rate(1 day)", "new_photos": 50,
        "publish_max_p": 0.2, "hyperparameters": {"min-images": "50"},
    }  # fmt: skip
    templates = synthesize(tmp_path, training=training)
    job = definition_of(templates["Training"])["States"]["Train"]["Parameters"]
    assert job["ResourceConfig"] == {
        "InstanceCount": 1, "InstanceType": "ml.c5.4xlarge", "VolumeSizeInGB": 99,
    }  # fmt: skip
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600}
    assert "EnableManagedSpotTraining" not in job
    assert json.loads(job["HyperParameters"]["min-images"]) == "50"
    starts = resources(templates["Training"], "AWS::Scheduler::Schedule")
    assert {(one["ScheduleExpression"], one["Target"]["Input"]) for one in starts} == {
        ("rate(7 days)", "{}"), ("rate(1 day)", '{"least_new":50}'),
    }  # fmt: skip
    assert '"ADVISOR_PUBLISH_MAX_P": "0.2"' in json.dumps(templates["Service"])


def test_a_spot_job_keeps_checkpoints_and_is_cheap_by_default(aws: dict[str, Template]) -> None:
    job = definition_of(aws["Training"])["States"]["Train"]["Parameters"]
    assert job["EnableManagedSpotTraining"] is True
    stopping = job["StoppingCondition"]
    assert stopping["MaxWaitTimeInSeconds"] >= stopping["MaxRuntimeInSeconds"]
    assert job["CheckpointConfig"]["S3Uri.$"].startswith("States.Format('s3://data/models/checkpo")


def test_nothing_trains_by_itself_unless_the_settings_say_so(aws: dict[str, Template]) -> None:
    assert resources(aws["Training"], "AWS::Scheduler::Schedule") == []


def test_the_training_job_may_touch_only_what_it_uses(aws: dict[str, Template]) -> None:
    statements = [
        statement
        for name, one in aws["Training"]["Resources"].items()
        if one["Type"] == "AWS::IAM::Policy" and name.startswith("JobRole")
        for statement in one["Properties"]["PolicyDocument"]["Statement"]
    ]
    written = [json.dumps(one["Resource"]) for one in statements if one["Action"] == "s3:PutObject"]
    assert len(written) == 1
    for prefix in ("models/bundles/*", "models/jobs/*", "models/checkpoints/*"):
        assert prefix in written[0]
    assert "current.json" not in written[0]  # publishing is not the job's to do
    (query,) = [one for one in statements if one["Action"] == "dynamodb:Query"]
    assert "Embeddings" in json.dumps(query["Resource"])
    assert "s3:Delete" not in json.dumps(statements)


def test_the_job_may_read_the_prefixes_that_measure_and_nothing_beside_them(
    tmp_path: Path,
) -> None:
    flags = {"test": "s3://golden-photos/held-out/test/", "validation": "s3://golden-photos/v2"}
    template = synthesize(tmp_path, training={"hyperparameters": flags})["Training"]
    job = definition_of(template)["States"]["Train"]["Parameters"]
    assert json.loads(job["HyperParameters"]["test"]) == flags["test"]
    granted = [
        statement
        for name, one in template["Resources"].items()
        if one["Type"] == "AWS::IAM::Policy" and name.startswith("JobRole")
        for statement in one["Properties"]["PolicyDocument"]["Statement"]
        if "golden-photos" in json.dumps(statement)
    ]
    read = json.dumps([one["Resource"] for one in granted if one["Action"] != "s3:ListBucket"])
    assert read.count("golden-photos") == 2
    assert ":s3:::golden-photos/held-out/test/*" in read
    assert ":s3:::golden-photos/v2/*" in read
    prefixes = [one["Condition"]["StringLike"]["s3:prefix"]
                for one in granted if one["Action"] == "s3:ListBucket"]  # fmt: skip
    assert sorted(prefixes) == [["held-out/test", "held-out/test/*"], ["v2", "v2/*"]]
    for one in granted:
        assert one["Action"] in {"s3:GetObject", "s3:ListBucket"}


def test_a_failed_training_is_an_alarm_that_somebody_is_told_of(aws: dict[str, Template]) -> None:
    alarms = resources(aws["Training"], "AWS::CloudWatch::Alarm")
    assert {one["MetricName"] for one in alarms} == {"ExecutionsFailed", "ExecutionsTimedOut"}
    for alarm in alarms:  # the topic of all alarms, which is the service stack's
        for actions in (alarm["AlarmActions"], alarm["OKActions"]):
            assert "WatchingAlarms" in json.dumps(actions)


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ([], "training is []; expected an object"),
        ({"size": 1}, "training has 'size'; expected some of instance, spot"),
        ({"instance": "m5.xlarge"}, "training.instance is 'm5.xlarge'; expected an instance type"),
        ({"spot": "yes"}, "training.spot is 'yes'; expected true or false"),
        ({"time_limit_h": 0}, "training.time_limit_h is 0; expected hours"),
        ({"new_photos": True}, "training.new_photos is True; expected a number"),
        ({"schedule": "weekly"}, "training.schedule is 'weekly'; expected a schedule like"),
        ({"publish_max_p": 5}, "training.publish_max_p is 5; expected 0 to 1"),
        (
            {"hyperparameters": {"test": "s3://*/a"}},
            "training.hyperparameters has test as 's3://*/",
        ),
        ({"hyperparameters": {"test": "s3://all"}}, "training.hyperparameters has test as 's3://a"),
        ({"hyperparameters": {"seed": 1}}, "training.hyperparameters is {'seed': 1}; expected te"),
    ],
)
def test_settings_that_cannot_be_used_are_named(training: Any, said: str) -> None:
    with pytest.raises(TrainingError) as error:
        read_training(training)
    assert str(error.value).startswith(said)
