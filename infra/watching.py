"""What a person looks at: one dashboard, and alarms that are sent to a topic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aws_cdk import CfnOutput, Duration
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

NAMESPACE = "ProductsAdvisor"  # of the metrics that advisor/aws/watching.py writes
STAGES = ("ReadMs", "DecodeMs", "InferenceMs", "WriteMs")
PERIOD = Duration.minutes(5)
P99_MS = 3000  # API Gateway gives up after 30 s; a cold start takes less than one


@dataclass(frozen=True)
class WatchedQueue:
    """A work queue, its dead letters, and how old its oldest message may get."""

    queue: sqs.Queue
    dead: sqs.Queue
    max_age_s: int


def told_alarm(
    scope: Construct,
    name: str,
    metric: cloudwatch.Metric,
    threshold: float,
    text: str,
    *,
    topic: sns.ITopic,
    periods: int = 1,
) -> cloudwatch.Alarm:
    """An alarm that the topic is told of, and of its end; no data is no alarm.

    threshold: the metric's lowest value that is one, in so many periods.
    """
    alarm = metric.create_alarm(
        scope,
        name,
        alarm_description=text,
        threshold=threshold,
        evaluation_periods=periods,
        treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
    )
    alarm.add_alarm_action(actions.SnsAction(topic))
    alarm.add_ok_action(actions.SnsAction(topic))
    return alarm


class Watching(Construct):
    """Alarms for errors, slow answers, dead letters and work that waits; and the dashboard.

    Who subscribes to `topic` (output AlarmsTopicArn) is told of each alarm and of its end.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        functions: Sequence[lambda_.Function],
        queues: Sequence[WatchedQueue],
        stage: apigateway.HttpStage,
    ) -> None:
        super().__init__(scope, construct_id)
        self.topic = sns.Topic(self, "Alarms", enforce_ssl=True)
        # enforce_ssl replaces the policy by which a topic takes messages of its own account.
        self.topic.grant_publish(iam.ServicePrincipal("cloudwatch.amazonaws.com"))
        CfnOutput(scope, "AlarmsTopicArn", value=self.topic.topic_arn)
        alarms = [
            *(
                self._alarm(f"{one.node.id}Errors", one.metric_errors(period=PERIOD), 1, "failed")
                for one in functions
            ),
            *(alarm for one in queues for alarm in self._queue_alarms(one)),
            self._alarm("DaysNotCounted", _not_counted(), 1, "days lack photos that were labelled"),
            self._alarm(
                "ApiFaults", stage.metric_server_error(period=PERIOD), 1, "the API answered 5xx"
            ),
            self._alarm(
                "ApiP99",
                stage.metric_latency(period=PERIOD, statistic="p99"),
                P99_MS,
                f"one answer in a hundred took more than {P99_MS} ms, for 15 minutes",
                periods=3,
            ),
        ]
        self._dashboard(alarms, functions, queues, stage)

    def _queue_alarms(self, one: WatchedQueue) -> list[cloudwatch.Alarm]:
        name = one.queue.node.id
        dead = one.dead.metric_approximate_number_of_messages_visible(period=PERIOD)
        age = one.queue.metric_approximate_age_of_oldest_message(period=PERIOD)
        return [
            self._alarm(f"Dead{name}", dead, 1, "a message failed every time it was tried"),
            self._alarm(f"{name}Age", age, one.max_age_s, f"waits for more than {one.max_age_s} s"),
        ]

    def _alarm(
        self, name: str, metric: cloudwatch.Metric, threshold: float, text: str, *, periods: int = 1
    ) -> cloudwatch.Alarm:
        return told_alarm(
            self, name, metric, threshold, f"{name}: {text}", topic=self.topic, periods=periods
        )

    def _dashboard(
        self,
        alarms: Sequence[cloudwatch.Alarm],
        functions: Sequence[lambda_.Function],
        queues: Sequence[WatchedQueue],
        stage: apigateway.HttpStage,
    ) -> None:
        dashboard = cloudwatch.Dashboard(self, "Dashboard")
        dashboard.add_widgets(
            cloudwatch.AlarmStatusWidget(alarms=alarms, width=24, title="Alarms"),
            _graph("Photos, by model", *_by("model_version", "Classified", "Unknown", "Known")),
            _graph("Photos that cannot be read, by reason", *_by("reason", "Unreadable")),
            _graph(
                "A photo's stages, p99, ms, by model",
                *_by("model_version", *STAGES, statistic="p99"),
            ),
            _graph("Cold starts", _search("service", "ColdStart", "Sum")),
            _graph(
                "API: requests, refused (4xx, 429 among them), failed",
                stage.metric_count(period=PERIOD),
                stage.metric_client_error(period=PERIOD),
                stage.metric_server_error(period=PERIOD),
            ),
            _graph(
                "API: how long an answer takes, ms",
                *(stage.metric_latency(period=PERIOD, statistic=one) for one in ("p50", "p99")),
            ),
            _graph("Calls", *(one.metric_invocations(period=PERIOD) for one in functions)),
            _graph(
                "Calls that failed or were put off",
                *(one.metric_errors(period=PERIOD) for one in functions),
                *(one.metric_throttles(period=PERIOD) for one in functions),
            ),
            _graph(
                "How long a call takes, p99, ms",
                *(one.metric_duration(period=PERIOD, statistic="p99") for one in functions),
            ),
            _graph(
                "Age of the oldest message, s",
                *(one.queue.metric_approximate_age_of_oldest_message() for one in queues),
            ),
        )


def _not_counted() -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=NAMESPACE,
        metric_name="DayNotCounted",
        dimensions_map={"service": "classify"},
        statistic="Sum",
        period=PERIOD,
    )


def _graph(title: str, *metrics: cloudwatch.IMetric) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(title=title, left=list(metrics), width=12)


def _by(dimension: str, *names: str, statistic: str = "Sum") -> list[cloudwatch.IMetric]:
    """A line for each value that the dimension has had: models come and go."""
    return [_search(f"service,{dimension}", name, statistic) for name in names]


def _search(dimensions: str, name: str, statistic: str) -> cloudwatch.IMetric:
    return cloudwatch.MathExpression(
        expression=(
            f"SEARCH('{{{NAMESPACE},{dimensions}}} MetricName=\"{name}\"', '{statistic}', 300)"
        ),
        label="",
        using_metrics={},
        period=PERIOD,
    )
