"""`make deploy`: tells what will be made in which account, asks, and runs the CDK."""

from __future__ import annotations

import os
import subprocess
import sys

import boto3
import click
from botocore.exceptions import BotoCoreError, ClientError

from infra.layers import ROOT

NOTICE = """\
This deploys Products Advisor to AWS account {account}, region {region}, as {arn}.

It makes:   2 data buckets, 8 DynamoDB tables, 10 functions with 5 layers, 4 queues, an HTTP API
            (public: anyone who knows its address may classify, 20 requests a second at most),
            schedules, alarms, a CloudFront site, and a training state machine (which looks once
            a day whether there are new photos enough: cdk.json, "training").
It needs:   rights to create these and IAM roles; the CDK bootstrap stack is made if missing.
It costs:   idle about 1 to 2 USD a month (alarms, queue polling, one sweep a minute), by list
            prices; then what you store, crawl and classify. A training job is billed by the
            minute. docs/deploy.md tells more, and how to remove it all.
It crawls:  the shops in cdk.json ("shops"), on their schedules, starting now.

This has been proved on a local emulator, and not yet run in an AWS account.
"""


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def main(yes: bool) -> None:
    """Deploy to the account and region of your AWS credentials.

    \b
    Example: AWS_PROFILE=shop AWS_REGION=eu-west-1 make deploy
    """
    # boto3 knows AWS_DEFAULT_REGION only; the CDK and the AWS command line put AWS_REGION first.
    session = boto3.Session(region_name=os.environ.get("AWS_REGION"))
    region = session.region_name
    if not region:
        sys.exit("deploy: no region; set AWS_REGION, for example AWS_REGION=eu-west-1")
    try:
        who = session.client("sts").get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"deploy: no usable AWS credentials ({error}); set AWS_PROFILE or run `aws login`")
    click.echo(NOTICE.format(account=who["Account"], region=region, arn=who["Arn"]), err=True)
    if not yes:
        click.confirm("Deploy?", abort=True, err=True)
    cdk = str(ROOT / "node_modules" / ".bin" / "cdk")
    environment = os.environ | {"AWS_REGION": region, "CDK_DEFAULT_REGION": region}
    for command in (
        [cdk, "bootstrap", f"aws://{who['Account']}/{region}"],
        [cdk, "deploy", "--all", "--require-approval", "never"],
    ):
        status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode  # noqa: S603 (our own CDK)
        if status:
            sys.exit(status)


if __name__ == "__main__":
    main()
