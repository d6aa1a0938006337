"""Buckets and tables: what must never be lost."""

from __future__ import annotations

from aws_cdk import CfnOutput, Duration, RemovalPolicy, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3vectors as s3vectors
from constructs import Construct

TEXT = dynamodb.AttributeType.STRING


class StorageStack(Stack):
    """Two buckets and eight tables, kept when the stack is removed (not on the emulator).

    s3_vectors: and a bucket of vectors, in the place of indexes in files.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, local: bool, s3_vectors: bool = False
    ) -> None:
        super().__init__(scope, construct_id, description="Products Advisor: buckets and tables")
        self._local = local
        self.data = self._bucket("Data", versioned=True)
        # Old model bundles and pages of past crawls stay readable; only overwritten copies go.
        self.data.add_lifecycle_rule(
            noncurrent_version_expiration=Duration.days(30),
            abort_incomplete_multipart_upload_after=Duration.days(1),
        )
        # What an interrupted training job goes on from; the job itself ends within hours.
        self.data.add_lifecycle_rule(
            prefix="models/checkpoints/",
            expiration=Duration.days(7),
            noncurrent_version_expiration=Duration.days(1),
        )
        self.uploads = self._bucket("Uploads", versioned=False)
        self.uploads.add_lifecycle_rule(
            expiration=Duration.days(30),
            abort_incomplete_multipart_upload_after=Duration.days(1),
        )
        self.vectors_arn = self._vectors() if s3_vectors else None
        self.products = self._table("Products", "product_id")
        self.products.add_global_secondary_index(
            index_name="by_gtin",
            partition_key=dynamodb.Attribute(name="gtin", type=TEXT),
        )
        self.prices = self._table("Prices", "product_id", "observed_at")
        self.labels = self._table("Labels", "image_id", "model_version")
        # Only photos that a model is not sure of have the attribute `review`: the least sure first.
        self.labels.add_global_secondary_index(
            index_name="to_review",
            partition_key=dynamodb.Attribute(name="review", type=TEXT),
            sort_key=dynamodb.Attribute(name="probability", type=dynamodb.AttributeType.NUMBER),
        )
        self.reviews = self._table("Reviews", "kind", "about")
        self.reviews.add_global_secondary_index(
            index_name="by_time",
            partition_key=dynamodb.Attribute(name="kind", type=TEXT),
            sort_key=dynamodb.Attribute(name="at", type=TEXT),
        )
        self.days = self._table("Days", "what", "day")
        self.embeddings = self._table("Embeddings", "shelf", "photo")
        self.alerts = self._table("Alerts", "product_id", "alert_id")
        self.frontier = self._table("Frontier", "pk", "sk", time_to_live="expires_at")

    def _bucket(self, name: str, *, versioned: bool) -> s3.Bucket:
        bucket = s3.Bucket(
            self,
            name,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=not self._local,  # the emulator speaks plain http
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            versioned=versioned,
            removal_policy=self._removal_policy,
        )
        CfnOutput(self, f"{name}Bucket", value=bucket.bucket_name)
        return bucket

    def _vectors(self) -> str:
        bucket = s3vectors.CfnVectorBucket(self, "Vectors")
        bucket.apply_removal_policy(self._removal_policy)
        CfnOutput(self, "VectorsBucketArn", value=bucket.attr_vector_bucket_arn)
        return bucket.attr_vector_bucket_arn

    def _table(
        self, name: str, partition: str, sort: str | None = None, time_to_live: str | None = None
    ) -> dynamodb.TableV2:
        table = dynamodb.TableV2(
            self,
            name,
            partition_key=dynamodb.Attribute(name=partition, type=TEXT),
            sort_key=dynamodb.Attribute(name=sort, type=TEXT) if sort else None,
            time_to_live_attribute=time_to_live,
            billing=dynamodb.Billing.on_demand(),
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            removal_policy=self._removal_policy,
        )
        CfnOutput(self, f"{name}Table", value=table.table_name)
        return table

    @property
    def _removal_policy(self) -> RemovalPolicy:
        return RemovalPolicy.DESTROY if self._local else RemovalPolicy.RETAIN
