"""Settings of the deployed functions, read once from the environment.

The CDK app sets the same keys (infra/service_stack.py); a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from advisor.errors import SettingsError

PREFIX = "ADVISOR_"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Names of what a function uses. A field `data_bucket` is read from `ADVISOR_DATA_BUCKET`.

    A function gets only the keys it is granted the resources for; reading a key that it was
    not given raises SettingsError, naming the key.
    """

    data_bucket: str  # pages/, items/, images/, models/
    uploads_bucket: str  # photos to classify; expire by lifecycle rule
    products_table: str  # product_id -> what the shop's page says now
    prices_table: str  # product_id, observed_at -> price (append only)
    labels_table: str  # image_id, model_version -> classification
    reviews_table: str  # kind, about -> what a person decided
    days_table: str  # what, day#model -> how many there were
    embeddings_table: str  # model_version#label, product_id#image_id -> embedding
    indexes: str  # "files" of the data bucket, or the ARN of a bucket of S3 Vectors
    frontier_table: str  # crawl runs, hosts, requests
    tokens_queue_url: str  # one token per host of a running crawl
    alerts_table: str  # product_id, alert_id -> what somebody wants to be told of
    alerts_topic_arn: str  # SNS: a message for each alert that fired
    closed_topic_arn: str  # SNS: a message for each crawl that ended
    photos_queue_url: str  # S3 events of photos to classify
    publish_max_p: str  # a new model's gain may be chance with this probability at most (0 to 1)

    def __getattribute__(self, name: str) -> object:
        value = object.__getattribute__(self, name)
        if value == "" and not name.startswith("_"):
            raise SettingsError(f"{PREFIX}{name.upper()} is not set for this function")
        return value

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings; a key that is not there fails by name when it is first used."""
        return cls(**{f.name: environ.get(PREFIX + f.name.upper(), "") for f in fields(cls)})
