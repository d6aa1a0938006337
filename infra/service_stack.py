"""Functions, queues, routes, S3 events, schedules, alarms, dashboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import CfnOutput, Duration, RemovalPolicy, Stack
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_apigatewayv2_authorizers as authorizers
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as event_sources
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_notifications as notifications
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_scheduler_targets as scheduler_targets
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.layers import LAYERS, ONE_CORE_MB, LayerFolder
from infra.python_function import PythonFunction
from infra.shops import ScheduledShop
from infra.storage_stack import StorageStack
from infra.watching import WatchedQueue, Watching

# A turn of the crawl ends by itself; then the function may time out, then the lease of the
# host runs out, then the token is seen again: each longer than the one before.
CRAWL_TIMEOUT_S = 300
TOKEN_VISIBILITY_S = 900
CRAWL_WORKERS = 8  # hosts crawled at a time
CLASSIFY_TIMEOUT_S = 120  # ten messages of ten photos each; the API gives up after 30 s
PHOTO_WORKERS = 4  # batches of photos classified at a time
INDEX_DISK_MB = 8192  # the indexes of a million photos take 2.8 GB, two builds of one at a time
TOKENS_MAX_AGE_S = 3600  # a token may wait 900 s for its host, and be tried again
PHOTOS_MAX_AGE_S = 900
# What strangers may cost us (docs/deploy.md counts it in money): requests a second over all of
# them, and calls at a time. Photos from S3 take PHOTO_WORKERS of classify's.
THROTTLE = apigateway.ThrottleSettings(rate_limit=20, burst_limit=40)
ROUTE_THROTTLES = {
    "POST /classify": (10, 20),
    "POST /suggestions": (10, 20),
    "GET /images/{image_id}/suggestions": (10, 20),
    "GET /products/{product_id}/suggestions": (10, 20),
    "POST /uploads": (0.1, 10),  # each form lets in 50 MB
}
CLASSIFY_CONCURRENCY = 10
CATALOG_CONCURRENCY = 10

# What each function of the crawl does to which table; a test has them do all of it, and compares.
CRAWL_ACTIONS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "start_crawl": {"frontier": ("GetItem", "PutItem", "Query", "UpdateItem")},
    "crawl": {
        "frontier": (
            "BatchGetItem",
            "BatchWriteItem",
            "DeleteItem",
            "GetItem",
            "PutItem",
            "Query",
            "UpdateItem",
        ),
        "products": ("GetItem", "PutItem"),
        "prices": ("PutItem", "Query"),
    },
    "sweep_crawls": {"frontier": ("DeleteItem", "GetItem", "Query", "UpdateItem")},
    "crawls": {"frontier": ("DeleteItem", "GetItem", "PutItem", "Query", "UpdateItem")},
}

CLASSIFY_ROUTES = (
    "POST /classify",
    "POST /suggestions",
    "GET /images/{image_id}/suggestions",
    "GET /products/{product_id}/suggestions",
)
CATALOG_ROUTES = (
    "POST /uploads",
    "GET /images/{image_id}",
    "GET /products",
    "GET /categories",
    "GET /products/{product_id}",
    "GET /products/{product_id}/prices",
    "GET /model",
    "GET /model/evaluation",
    "GET /health",
)
# These change something: API Gateway lets in only whom IAM allows to call them (SigV4).
CRAWLS_ROUTES = (
    "POST /crawls",
    "GET /crawls",
    "GET /crawls/{run_id}",
    "POST /crawls/{run_id}/pause",
    "POST /crawls/{run_id}/resume",
    "POST /crawls/{run_id}/stop",
    "GET /why",
)
# So do these; and who may look is who may decide.
REVIEWS_ROUTES = (
    "GET /reviews/photos",
    "POST /reviews/photos/{image_id}",
    "DELETE /reviews/photos/{image_id}",
    "GET /reviews/matches",
    "POST /reviews/matches",
    "DELETE /reviews/matches/{match_id}",
    "GET /reviews/categories",
    "POST /reviews/categories",
    "DELETE /reviews/categories/{category_id}",
    "GET /reviews/decisions",
    "GET /days",
)


class ServiceStack(Stack):
    """What runs: crawl, classify, catalog and publish, and what starts them."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        storage: StorageStack,
        layer_folder: LayerFolder,
        shops: Sequence[ScheduledShop],
        publish_max_p: float,
        reserve_concurrency: bool,
    ) -> None:
        super().__init__(scope, construct_id, description="Products Advisor: functions and API")
        self._storage = storage
        self._reserve = reserve_concurrency
        self._layers = {
            name: lambda_.LayerVersion(
                self,
                f"{name.capitalize()}Layer",
                code=lambda_.Code.from_asset(str(layer_folder(name))),
                compatible_runtimes=[lambda_.Runtime.PYTHON_3_13],
                description=f"Products Advisor: {name}",
            )
            for name in LAYERS
        }
        self.tokens, self._dead_tokens = self._queue("Tokens", TOKEN_VISIBILITY_S, attempts=5)
        self.photos, self._dead_photos = self._queue(
            "Photos", visibility_s=6 * CLASSIFY_TIMEOUT_S, attempts=3
        )
        self._crawling(shops)
        self._classifying()
        self._indexing()
        self._reviewing()
        self._publishing(publish_max_p)
        self._planning()
        self.api = self._routes()
        self.alarms = Watching(
            self,
            "Watching",
            functions=(
                self.start_crawl,
                self.crawl,
                self.sweep_crawls,
                self.crawls,
                self.classify,
                self.catalog,
                self.index,
                self.reviews,
                self.publish_model,
                self.plan_training,
            ),
            queues=(
                WatchedQueue(self.tokens, self._dead_tokens, TOKENS_MAX_AGE_S),
                WatchedQueue(self.photos, self._dead_photos, PHOTOS_MAX_AGE_S),
            ),
            stage=self.stage,
        ).topic

    def _crawling(self, shops: Sequence[ScheduledShop]) -> None:
        storage = self._storage
        settings = {
            "data_bucket": storage.data.bucket_name,
            "frontier_table": storage.frontier.table_name,
            "tokens_queue_url": self.tokens.queue_url,
        }
        self.closed = sns.Topic(self, "Closed", enforce_ssl=True)
        CfnOutput(self, "ClosedTopicArn", value=self.closed.topic_arn)
        self.alerts = sns.Topic(self, "Alerts", enforce_ssl=True)
        CfnOutput(self, "AlertsTopicArn", value=self.alerts.topic_arn)
        settings_of_ending = settings | {"closed_topic_arn": self.closed.topic_arn}
        self.start_crawl = self._function(
            "start_crawl",
            ("crawl",),
            settings,
            timeout_s=60,
            memory_mb=512,
            description="Starts a crawl of one shop",
        )
        self.crawl = self._function(
            "crawl",
            ("crawl",),
            settings_of_ending
            | {
                "products_table": storage.products.table_name,
                "prices_table": storage.prices.table_name,
                "alerts_table": storage.alerts.table_name,
                "alerts_topic_arn": self.alerts.topic_arn,
            },
            timeout_s=CRAWL_TIMEOUT_S,
            memory_mb=1024,
            description="Crawls one host for one turn",
        )
        self.sweep_crawls = self._function(
            "sweep_crawls",
            ("crawl",),
            settings_of_ending,
            timeout_s=60,
            memory_mb=256,
            description="Re-issues lost tokens, finishes crawls",
        )
        self.crawls = self._function(
            "crawls",
            ("crawl",),
            settings_of_ending,
            timeout_s=29,  # the records of a large crawl take a while to read
            memory_mb=1024,
            description="Starts, shows, pauses and stops crawls over HTTP",
        )
        # A turn sends its own queue the next token: a loop that is meant, and ends with the run.
        resource = self.crawl.node.default_child
        assert isinstance(resource, lambda_.CfnFunction)  # noqa: S101 (what CDK made of it)
        resource.recursive_loop = "Allow"
        self.crawl.add_event_source(
            event_sources.SqsEventSource(self.tokens, batch_size=1, max_concurrency=CRAWL_WORKERS)
        )
        for function in (self.crawl, self.sweep_crawls, self.crawls):
            self.closed.grant_publish(function)
        tables = {
            "frontier": storage.frontier,
            "products": storage.products,
            "prices": storage.prices,
        }
        for function, grants in (
            (self.start_crawl, CRAWL_ACTIONS["start_crawl"]),
            (self.crawl, CRAWL_ACTIONS["crawl"]),
            (self.sweep_crawls, CRAWL_ACTIONS["sweep_crawls"]),
            (self.crawls, CRAWL_ACTIONS["crawls"]),
        ):
            for name, actions in grants.items():
                tables[name].grant(function, *(f"dynamodb:{action}" for action in actions))
            self.tokens.grant_send_messages(function)
        storage.alerts.grant(self.crawl, "dynamodb:PutItem", "dynamodb:Query")
        self.alerts.grant_publish(self.crawl)
        # It reads what an earlier run read off a page, whether a page or photo is there, and which
        # items a worker wrote that died.
        for s3_action, prefixes in (
            ("s3:PutObject", ("pages/*", "items/*", "images/*", "visits/*")),
            ("s3:GetObject", ("pages/*", "items/*", "images/*", "visits/*")),
        ):
            self.crawl.add_to_role_policy(
                iam.PolicyStatement(
                    actions=[s3_action],
                    resources=[storage.data.arn_for_objects(prefix) for prefix in prefixes],
                )
            )
        self.crawl.add_to_role_policy(
            iam.PolicyStatement(
                actions=["s3:ListBucket"],
                resources=[storage.data.bucket_arn],
                conditions={"StringLike": {"s3:prefix": ["visits/*", "items/*"]}},
            )
        )
        # Why an address was not fetched is asked of the records.
        self.crawls.add_to_role_policy(
            iam.PolicyStatement(
                actions=["s3:GetObject"], resources=[storage.data.arn_for_objects("visits/*")]
            )
        )
        self.crawls.add_to_role_policy(
            iam.PolicyStatement(
                actions=["s3:ListBucket"],
                resources=[storage.data.bucket_arn],
                conditions={"StringLike": {"s3:prefix": ["visits/*"]}},
            )
        )
        for shop in shops:
            self._schedule_crawl(shop)
        scheduler.Schedule(
            self,
            "SweepSchedule",
            schedule=scheduler.ScheduleExpression.rate(Duration.minutes(1)),
            target=scheduler_targets.LambdaInvoke(self.sweep_crawls),
            description="Re-issues lost crawl tokens",
        )

    def _schedule_crawl(self, shop: ScheduledShop) -> None:
        name = "".join(part.capitalize() for part in shop.title.split("-"))
        scheduler.Schedule(
            self,
            f"Crawl{name}Schedule",
            schedule=scheduler.ScheduleExpression.expression(shop.schedule),
            target=scheduler_targets.LambdaInvoke(
                self.start_crawl,
                input=scheduler.ScheduleTargetInput.from_object(shop.event),
            ),
            description=f"Crawls {shop.title}",
        )

    def _classifying(self) -> None:
        storage = self._storage
        settings = {
            "data_bucket": storage.data.bucket_name,
            "uploads_bucket": storage.uploads.bucket_name,
            "labels_table": storage.labels.table_name,
            "products_table": storage.products.table_name,
        }
        self.classify = self._function(
            "classify",
            ("vision", "catalog"),
            settings
            | {
                "embeddings_table": storage.embeddings.table_name,
                "indexes": storage.vectors_arn or "files",
                "reviews_table": storage.reviews.table_name,
                "days_table": storage.days.table_name,
            },
            timeout_s=CLASSIFY_TIMEOUT_S,
            memory_mb=ONE_CORE_MB,
            concurrency=CLASSIFY_CONCURRENCY,
            traced=True,
            description="Labels photos, finds similar products",
            disk_mb=INDEX_DISK_MB,
        )
        self.classify.add_event_source(
            event_sources.SqsEventSource(
                self.photos,
                batch_size=10,
                max_batching_window=Duration.seconds(0),
                max_concurrency=PHOTO_WORKERS,
                report_batch_item_failures=True,
            )
        )
        storage.data.grant_read(self.classify, "images/*")
        storage.data.grant_read(self.classify, "models/*")
        storage.data.grant_read(self.classify, f"{self._index_root}/*")
        self._grant_vectors(self.classify, "GetVectors", "QueryVectors")
        storage.uploads.grant_read(self.classify)
        storage.labels.grant_read_write_data(self.classify)
        storage.embeddings.grant_read_write_data(self.classify)
        storage.products.grant_read_data(self.classify)
        storage.reviews.grant(self.classify, "dynamodb:Query")
        storage.days.grant(self.classify, "dynamodb:UpdateItem")
        # Imported by name: the notification then belongs to this stack, and no cycle arises.
        for name, bucket, prefix in (
            ("DataEvents", storage.data, "images/"),
            ("UploadEvents", storage.uploads, ""),
        ):
            source = s3.Bucket.from_bucket_name(self, name, bucket.bucket_name)
            source.add_event_notification(
                s3.EventType.OBJECT_CREATED,
                notifications.SqsDestination(self.photos),
                *([s3.NotificationKeyFilter(prefix=prefix)] if prefix else []),
            )
        self.catalog = self._function(
            "catalog",
            ("catalog",),
            settings
            | {
                "prices_table": storage.prices.table_name,
                "reviews_table": storage.reviews.table_name,
            },
            timeout_s=15,
            memory_mb=512,
            concurrency=CATALOG_CONCURRENCY,
            description="Answers for products, prices, images and the model",
        )
        for prefix in ("models/*", "listing/*", "images/*"):  # photos: for who has their address
            storage.data.grant_read(self.catalog, prefix)
        storage.uploads.grant_put(self.catalog, "uploads/*")
        for table in (storage.labels, storage.products, storage.prices):
            table.grant_read_data(self.catalog)
        storage.reviews.grant(self.catalog, "dynamodb:Query")

    def _indexing(self) -> None:
        storage = self._storage
        self.index = self._function(
            "index",
            ("vision", "catalog"),
            {
                "data_bucket": storage.data.bucket_name,
                "embeddings_table": storage.embeddings.table_name,
                "indexes": storage.vectors_arn or "files",
                "products_table": storage.products.table_name,
                "reviews_table": storage.reviews.table_name,
            },
            timeout_s=900,
            memory_mb=3008,
            description="Brings the indexes of the photos up to date",
            disk_mb=INDEX_DISK_MB,
        )
        storage.data.grant_read(self.index, "models/*")
        # What it has made it may make anew, and remove when nobody reads it any more.
        self.index.add_to_role_policy(
            iam.PolicyStatement(
                actions=["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
                resources=[
                    storage.data.arn_for_objects(one)
                    for one in (f"{self._index_root}/*", "listing/*")
                ],
            )
        )
        self._grant_vectors(self.index, "CreateIndex", "DeleteIndex", "DeleteVectors", "PutVectors")
        if storage.vectors_arn:
            self.index.add_to_role_policy(
                iam.PolicyStatement(
                    actions=["s3vectors:ListIndexes"], resources=[storage.vectors_arn]
                )
            )
        storage.embeddings.grant_read_data(self.index)
        storage.products.grant_read_data(self.index)
        storage.reviews.grant(self.index, "dynamodb:Query")
        self.index.add_to_role_policy(
            iam.PolicyStatement(actions=["s3:ListBucket"], resources=[storage.data.bucket_arn])
        )
        # What a crawl has found is listed when it ends.
        self.closed.add_subscription(subscriptions.LambdaSubscription(self.index))
        scheduler.Schedule(
            self,
            "IndexSchedule",
            schedule=scheduler.ScheduleExpression.rate(Duration.hours(1)),
            target=scheduler_targets.LambdaInvoke(self.index),
            description="Brings the indexes of the photos up to date",
        )

    @property
    def _index_root(self) -> str:
        """What the keys of the indexes in the data bucket begin with."""
        return "vectors" if self._storage.vectors_arn else "index"

    def _grant_vectors(self, function: PythonFunction, *actions: str) -> None:
        if self._storage.vectors_arn:
            function.add_to_role_policy(
                iam.PolicyStatement(
                    actions=[f"s3vectors:{action}" for action in actions],
                    resources=[f"{self._storage.vectors_arn}/index/*"],
                )
            )

    def _reviewing(self) -> None:
        storage = self._storage
        self.reviews = self._function(
            "reviews",
            ("catalog",),
            {
                "data_bucket": storage.data.bucket_name,
                "labels_table": storage.labels.table_name,
                "products_table": storage.products.table_name,
                "reviews_table": storage.reviews.table_name,
                "days_table": storage.days.table_name,
            },
            timeout_s=15,
            memory_mb=512,
            description="Shows what a person should look at, and takes their decisions",
        )
        for prefix in ("models/*", "listing/*", "images/*"):  # photos: for who has their address
            storage.data.grant_read(self.reviews, prefix)
        storage.labels.grant(self.reviews, "dynamodb:Query", "dynamodb:UpdateItem")
        storage.products.grant(self.reviews, "dynamodb:BatchGetItem")
        storage.days.grant(self.reviews, "dynamodb:Query")
        storage.reviews.grant(
            self.reviews,
            *(
                f"dynamodb:{action}"
                for action in ("BatchGetItem", "DeleteItem", "GetItem", "PutItem", "Query")
            ),
        )

    def _publishing(self, publish_max_p: float) -> None:
        storage = self._storage
        self.publish_model = self._function(
            "publish_model",
            (),
            {
                "data_bucket": storage.data.bucket_name,
                "uploads_bucket": storage.uploads.bucket_name,
                "photos_queue_url": self.photos.queue_url,
                "publish_max_p": f"{publish_max_p:g}",
            },
            timeout_s=300,
            memory_mb=512,
            description="Publishes a model if it is better, and has all photos labelled by it",
        )
        storage.data.grant_read(self.publish_model, "models/*")
        storage.data.grant_put(self.publish_model, "models/current.json")
        for bucket in (storage.data, storage.uploads):  # it lists photos and reads none
            self.publish_model.add_to_role_policy(
                iam.PolicyStatement(actions=["s3:ListBucket"], resources=[bucket.bucket_arn])
            )
        self.photos.grant_send_messages(self.publish_model)

    def _planning(self) -> None:
        """Here and not in the training stack, since the emulator has it, too."""
        data = self._storage.data
        self.plan_training = self._function(
            "plan_training",
            (),
            {
                "data_bucket": data.bucket_name,
                "reviews_table": self._storage.reviews.table_name,
            },
            timeout_s=300,  # a million keys are a thousand requests
            memory_mb=512,
            description="Counts the photos to train on, and says whether it is worth it",
        )
        data.grant_read(self.plan_training, "models/*")
        data.grant_put(self.plan_training, "models/jobs/*")
        self._storage.reviews.grant(self.plan_training, "dynamodb:Query")
        self.plan_training.add_to_role_policy(  # it lists photos and reads none
            iam.PolicyStatement(actions=["s3:ListBucket"], resources=[data.bucket_arn])
        )

    def _routes(self) -> apigateway.HttpApi:
        """The HTTP API at stage `api`: the site's distribution forwards /api/* as it is."""
        api = apigateway.HttpApi(
            self, "Api", create_default_stage=False, description="Products Advisor"
        )
        added: list[apigateway.HttpRoute] = []
        for function, routes in ((self.classify, CLASSIFY_ROUTES), (self.catalog, CATALOG_ROUTES)):
            integration = integrations.HttpLambdaIntegration(f"{function.node.id}Route", function)
            for route in routes:
                method, path = route.split()
                added += api.add_routes(
                    path=path, methods=[apigateway.HttpMethod[method]], integration=integration
                )
        for function, signed in ((self.crawls, CRAWLS_ROUTES), (self.reviews, REVIEWS_ROUTES)):
            integration = integrations.HttpLambdaIntegration(f"{function.node.id}Route", function)
            for route in signed:
                method, path = route.split()
                api.add_routes(
                    path=path,
                    methods=[apigateway.HttpMethod[method]],
                    integration=integration,
                    authorizer=authorizers.HttpIamAuthorizer(),
                )
        access_log = logs.LogGroup(
            self,
            "ApiLogs",
            retention=logs.RetentionDays.ONE_MONTH,
            removal_policy=RemovalPolicy.DESTROY,
        )
        stage = apigateway.HttpStage(
            self, "Stage", http_api=api, stage_name="api", auto_deploy=True, throttle=THROTTLE
        )
        resource = stage.node.default_child
        assert isinstance(resource, apigateway.CfnStage)  # noqa: S101 (what CDK made of it)
        resource.access_log_settings = apigateway.CfnStage.AccessLogSettingsProperty(
            destination_arn=access_log.log_group_arn,
            format="$context.requestId $context.identity.sourceIp $context.routeKey"
            " $context.status $context.responseLatency",
        )
        resource.route_settings = {
            route: {"ThrottlingRateLimit": rate, "ThrottlingBurstLimit": burst}
            for route, (rate, burst) in ROUTE_THROTTLES.items()
        }
        resource.node.add_dependency(*added)  # a stage can limit only routes that are there
        self.stage = stage
        self.api_domain = f"{api.api_id}.execute-api.{self.region}.{self.url_suffix}"
        CfnOutput(self, "ApiId", value=api.api_id)
        CfnOutput(self, "ApiUrl", value=f"https://{self.api_domain}/api")
        return api

    def _function(
        self,
        folder: str,
        layers: Sequence[str],
        settings: Mapping[str, str],
        *,
        timeout_s: int,
        memory_mb: int,
        description: str,
        disk_mb: int = 512,
        concurrency: int | None = None,
        traced: bool = False,
    ) -> PythonFunction:
        function = PythonFunction(
            self,
            folder,
            layers=[self._layers[name] for name in ("shared", "base", *layers)],
            settings=settings,
            timeout_s=timeout_s,
            memory_mb=memory_mb,
            description=description,
            disk_mb=disk_mb,
            concurrency=concurrency if self._reserve else None,
            traced=traced,
        )
        CfnOutput(self, f"{function.node.id}Function", value=function.function_name)
        return function

    def _queue(self, name: str, visibility_s: int, *, attempts: int) -> tuple[sqs.Queue, sqs.Queue]:
        dead = sqs.Queue(self, f"Dead{name}", retention_period=Duration.days(14), enforce_ssl=True)
        queue = sqs.Queue(
            self,
            name,
            visibility_timeout=Duration.seconds(visibility_s),
            retention_period=Duration.days(4),
            enforce_ssl=True,
            dead_letter_queue=sqs.DeadLetterQueue(queue=dead, max_receive_count=attempts),
        )
        CfnOutput(self, f"{name}QueueUrl", value=queue.queue_url)
        CfnOutput(self, f"Dead{name}QueueUrl", value=dead.queue_url)
        return queue, dead
