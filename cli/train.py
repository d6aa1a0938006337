"""`advisor train`: from category folders of photos to a model bundle."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from training.train import TrainingResult

INTERRUPTED_STATUS = 130


@click.command()
@click.argument("image_dir", required=False)
@click.option(
    "--remote",
    is_flag=True,
    help="Train on the photos of the deployed stacks and publish what is better: on AWS, or on the "
    "emulator of AWS_ENDPOINT_URL.",
)
@click.option(
    "--out",
    help="Folder for the bundle (a bundle there is replaced), or s3://BUCKET/models/bundles/.",
)
@click.option(
    "--backbone",
    help="mobilenet_v2_NNN_224 with NNN one of 035, 050 (default), 075, 100, 140; package-index; "
    "a .keras file, SavedModel folder, https:// handle or s3:// URI; or a model bundle (in-use: "
    "the one in use), of which only the head is trained anew.",
)
@click.option("--steps", type=int, help="Training steps of the head. Default: 1000.")
@click.option(
    "--min-images", type=int, help="Leave out categories with fewer photos. Default: 200."
)
@click.option("--test-percent", type=int, help="Photos set aside to measure. Default: 10.")
@click.option("--validation-percent", type=int, help="Photos to calibrate on. Default: 10.")
@click.option(
    "--test",
    metavar="FOLDER",
    help="Measure on the photos of this folder of categories; none of IMAGE_DIR is set aside.",
)
@click.option(
    "--validation",
    metavar="FOLDER",
    help="Calibrate and choose on this folder's photos; none of IMAGE_DIR is set aside. With "
    "--test-percent 0 they measure, too.",
)
@click.option(
    "--holdout-shop",
    metavar="NAME",
    help="Measure on this shop's photos, and train on none of them.",
)
@click.option(
    "--fine-tune",
    metavar="N|all",
    help="Train the last N blocks of the backbone, too. Default: 12, where the backbone allows it.",
)
@click.option("--frozen", is_flag=True, help="Train the head alone: seconds instead of minutes.")
@click.option(
    "--distortions",
    type=int,
    metavar="N",
    help="Let the head learn from N distorted variants of each photo, too; they are cached.",
)
@click.option("--epochs", type=int, help="Passes of fine-tuning over the photos. Default: 9.")
@click.option("--learning-rate", type=float, help="Of the head. Default: 0.0005.")
@click.option("--batch-size", type=int, help="Photos in a step of the head. Default: 100.")
@click.option("--weight-decay", type=float, help="Of the head. Default: 1.")
@click.option(
    "--label-smoothing",
    type=float,
    metavar="SHARE",
    help="Of each label, given to all others; head and fine-tuning. Default: 0.1.",
)
@click.option(
    "--patience",
    type=int,
    metavar="N",
    help="End the head's training after N hundred steps without gain on the validation photos; 0: "
    "never. Default: 5.",
)
@click.option(
    "--max-error",
    type=float,
    metavar="SHARE",
    help="Answer `unknown` rather than be wrong on more than this share of the answers. Default: "
    "0.05.",
)
@click.option(
    "--corrections",
    metavar="FILE",
    help="Labels that people gave, a JSON line each (or an s3:// URI); they override the shop's.",
)
@click.option(
    "--manifest",
    metavar="FILE",
    help="Train on the photos listed there and no others, a JSON line each (or an s3:// URI): "
    '{"path": in IMAGE_DIR, "label": ..., "product_id": ...}, the last two where wanted.',
)
@click.option("--tensorboard", metavar="DIR", help="Write the figures for TensorBoard there, too.")
@click.option(
    "--precision",
    type=click.Choice(["float16", "float32", "dynamic"]),
    help="Of the model's weights. Default: float16, unless it would not answer alike. dynamic: 8 "
    "bits each, a smaller file that answers a little differently.",
)
@click.option("--seed", type=int, help="Of all that is left to chance. Default: 0.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as a JSON object.")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    image_dir: str | None,
    remote: bool,
    out: str | None,
    backbone: str | None,
    steps: int | None,
    min_images: int | None,
    test_percent: int | None,
    validation_percent: int | None,
    test: str | None,
    validation: str | None,
    holdout_shop: str | None,
    fine_tune: str | None,
    frozen: bool,
    distortions: int | None,
    epochs: int | None,
    learning_rate: float | None,
    batch_size: int | None,
    weight_decay: float | None,
    label_smoothing: float | None,
    patience: int | None,
    max_error: float | None,
    precision: str | None,
    corrections: str | None,
    manifest: str | None,
    tensorboard: str | None,
    seed: int | None,
    as_json: bool,
) -> None:
    """Train a model on IMAGE_DIR, a folder with a folder of photos per category.

    IMAGE_DIR may be an s3://BUCKET/PREFIX, too. Photos that cannot be read are skipped and
    named. Copies of a photo, and all photos of one product, stay on one side of the split.
    Weights, converted graphs and features are kept in ~/.cache/products-advisor.

    \b
    Examples:
      advisor train shop/images --out model
      advisor train shop/images --out model --frozen
      advisor train photos --out model --min-images 20 --backbone mobilenet.keras
      advisor train data/train --validation data/validation --test data/test --out model
      advisor train --remote
    """
    from cli.terminal import working
    from training.config import FROZEN, TrainingConfig
    from training.train import cache_folder, run

    options: dict[str, Any] = {
        "backbone": backbone,
        "steps": steps,
        "min_images": min_images,
        "test_percent": test_percent,
        "validation_percent": validation_percent,
        "test": test,
        "validation": validation,
        "holdout_shop": holdout_shop,
        "fine_tune": FROZEN if frozen else fine_tune,
        "distortions": distortions,
        "epochs": epochs,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "weight_decay": weight_decay,
        "head_smoothing": label_smoothing,
        "label_smoothing": label_smoothing,
        "patience": patience,
        "max_error": max_error,
        "precision": precision,
        "corrections": corrections,
        "manifest": manifest,
        "seed": seed,
    }
    if frozen and fine_tune:
        raise click.UsageError("--frozen and --fine-tune exclude each other")
    given = {name: value for name, value in options.items() if value is not None}
    if remote:
        from cli.train_remote import train_remote

        if image_dir or out or tensorboard:
            raise click.UsageError("--remote knows its photos and its place: give no other")
        train_remote(given, as_json=as_json)
        return
    if not image_dir or not out:
        raise click.UsageError("expected IMAGE_DIR and --out, or --remote")
    config = TrainingConfig(**given)
    try:
        with working() as (say, progress):
            result = run(image_dir, out, config, cache=cache_folder(), say=say, progress=progress)
    except KeyboardInterrupt:
        click.echo("advisor: interrupted; no bundle was written", err=True)
        ctx.exit(INTERRUPTED_STATUS)
    if tensorboard:
        _summarize(Path(tensorboard), result, out)
    if as_json:
        click.echo(json.dumps(result.to_dict(), ensure_ascii=False))
    else:
        _print(result, out)


def _summarize(folder: Path, result: TrainingResult, out: str) -> None:
    from advisor.vision.bundle_info import read_info
    from training.tensorboard import write_summaries

    told = {} if out.startswith("s3://") else read_info(Path(out)).training
    epochs = tuple(told.get("validation_accuracies", ()))
    run = write_summaries(folder, result.evaluation, version=result.version, epochs=epochs)
    click.echo(f"Figures for TensorBoard are in {run}", err=True)


def _print(result: TrainingResult, out: str) -> None:
    from cli.terminal import echo_columns

    photos = ", ".join(f"{count} {side}" for side, count in result.photos.items() if count)
    measured = "test" if result.photos["test"] else "validation"
    one = result.evaluation
    low, high = one.accuracy_interval or (0.0, 1.0)
    answers = (
        "none: every photo is `unknown`; train on more photos, or ask less with --max-error"
        if one.answered_accuracy is None
        else f"{one.answered:.3f} of these, {one.answered_accuracy:.3f} right; else `unknown`"
    )
    rows = [
        ("bundle", out),
        ("version", result.version),
        (
            "accuracy",
            f"{result.accuracy:.3f} ({low:.3f} to {high:.3f}) on {result.count} {measured} photos",
        ),
        ("answers", answers),
        ("backbone", f"{result.backbone} ({result.backbone_source})"),
        ("categories", str(len(result.labels))),
        ("photos", photos),
        ("seconds", f"{result.seconds:.1f}"),
    ]
    if result.pruned:
        rows.append(("left out", ", ".join(f"{k} ({n})" for k, n in result.pruned.items())))
    if result.unreadable:
        rows.append(("unreadable", str(len(result.unreadable))))
    if not out.startswith("s3://"):
        rows.append(("report", str(Path(out, "report.html"))))
    echo_columns(rows)
    click.echo(f"To put it into use: {how_to_publish(result.version, out)}", err=True)


def how_to_publish(version: str, out: str) -> str:
    """The command that puts a model into use which was written there."""
    if not out.startswith("s3://"):
        return f"advisor model publish {shlex.quote(out)}"
    bucket = out.removeprefix("s3://").partition("/")[0]
    return f"advisor model publish {version} --models s3://{bucket}"
