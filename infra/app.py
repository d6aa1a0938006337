"""The CDK app: `python -m infra.app` synthesizes it and makes no AWS call.

Context: `local=true` for the emulator; `shops`, a list of shops to crawl on a schedule:
`{"spider": "harveynorman", "schedule": "rate(1 day)", "base_url"?, "shop"?, "limit"?}`;
`training`, how and when models are trained (infra/training_settings.py);
`s3_vectors=true` keeps the indexes of photos in Amazon S3 Vectors (never on the emulator);
`reserve_concurrency=false` for an account whose quota of concurrent calls is too small for it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import aws_cdk as cdk

from infra.layers import LAMBDA, THIS_MACHINE, LayerFolder, build_layer
from infra.service_stack import ServiceStack
from infra.shops import ShopsError, read_shops
from infra.storage_stack import StorageStack
from infra.training_settings import TrainingError, read_training
from infra.training_stack import TrainingStack
from infra.web_stack import WebStack

PREFIX = "ProductsAdvisor"


def build(app: cdk.App, *, layer_folder: LayerFolder | None = None) -> None:
    """Add the stacks to the app. layer_folder: what to deploy as a layer (built, if not given)."""
    local = _context(app, "local") is True
    target = THIS_MACHINE if local else LAMBDA
    folder_of = layer_folder or (lambda name: build_layer(name, target))
    training = read_training(_context(app, "training") or {})
    vectors = _context(app, "s3_vectors") is True and not local
    storage = StorageStack(app, f"{PREFIX}-Storage", local=local, s3_vectors=vectors)
    service = ServiceStack(
        app,
        f"{PREFIX}-Service",
        storage=storage,
        layer_folder=folder_of,
        shops=read_shops(_context(app, "shops") or []),
        publish_max_p=training.publish_max_p,
        reserve_concurrency=_context(app, "reserve_concurrency") is not False,
    )
    WebStack(app, f"{PREFIX}-Web", service=service, storage=storage, local=local)
    if not local:  # the emulator knows no SageMaker; `advisor train` does it there
        TrainingStack(
            app, f"{PREFIX}-Training", storage=storage, service=service, settings=training
        )
    cdk.Tags.of(app).add("project", "products-advisor")


def main() -> None:
    """Synthesize; where to is the CDK command line's to say."""
    app = cdk.App()
    try:
        build(app)
    except (ShopsError, TrainingError) as error:
        sys.exit(f"infra: {error} (in cdk.json, or `-c shops=...`, `-c training=...`)")
    app.synth()


def _context(app: cdk.App, key: str) -> Any:
    """A context value; the command line's `-c key=value` gives text, cdk.json gives values."""
    value = app.node.try_get_context(key)
    return json.loads(value) if isinstance(value, str) else value


if __name__ == "__main__":
    main()
