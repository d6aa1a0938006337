"""`advisor model`: the models that are stored, the one in use, and how that changes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from advisor.vision.bundle import Bundle
    from advisor.vision.gate import Comparison
    from advisor.vision.publishing import CurrentModel, Models

_models = click.option(
    "--models",
    "place",
    default="models",
    show_default=True,
    help="Folder of models, or s3://BUCKET.",
)
_remote = click.option(
    "--remote", is_flag=True, help="The models of the deployed stacks, through their function."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")


@click.group()
def command() -> None:
    """List, compare, publish, roll back and export models.

    \b
    Examples:
      advisor train photos --out new && advisor model publish new
      advisor model list --models s3://my-bucket
      advisor model rollback --remote
    """


@command.command("list")
@_models
@_remote
@_json
def list_models(*, place: str, remote: bool, as_json: bool) -> None:
    """List the stored models, newest first, and what was in use when.

    \b
    Example: advisor model list --models models
    """
    from advisor.errors import NoModelError
    from advisor.vision.publishing import current_model, read_bundle_info
    from cli.terminal import echo_columns

    models = _open(place, remote=remote)
    try:
        current: CurrentModel | None = current_model(models)
    except NoModelError:
        current = None
    infos = [read_bundle_info(models, version) for version in models.versions()]
    if as_json:
        stored = [
            {"version": one.version, "created_at": one.created_at, "backbone": one.backbone.name,
             "accuracy": one.metrics.get("accuracy"), "labels": len(one.labels)}
            for one in infos
        ]  # fmt: skip
        in_use = asdict(current) if current else None
        click.echo(json.dumps({"models": stored, "current": in_use}, ensure_ascii=False))
        return
    if not infos:
        click.echo(f"No model is stored in {models.place} yet.")
        return
    rows = [("", "version", "accuracy", "photos", "categories", "backbone")]
    rows += [
        (
            "*" if current and one.version == current.version else "",
            one.version,
            _share(one.metrics.get("accuracy")),
            str(one.metrics.get("count", "-")),
            str(len(one.labels)),
            one.backbone.name,
        )
        for one in infos
    ]
    echo_columns(rows, right=(2, 3, 4))
    if current:
        click.echo("\nin use since")
        uses = [(one.published_at, one.version, one.reason) for one in (current, *current.history)]
        echo_columns(uses)


@command.command()
@click.argument("version", required=False)
@_models
@_remote
@_json
def show(*, version: str | None, place: str, remote: bool, as_json: bool) -> None:
    """Show a model, the one in use if no VERSION is given.

    \b
    Example: advisor model show 20260102T030405-0a1b2c3d
    """
    from advisor.vision.publishing import current_model, read_bundle_info
    from cli.terminal import echo_columns

    models = _open(place, remote=remote)
    info = read_bundle_info(models, version or current_model(models).version)
    if as_json:
        click.echo(info.to_json(), nl=False)
        return
    metrics = info.metrics
    low, high = metrics.get("accuracy_interval") or (None, None)
    echo_columns(
        [
            ("version", info.version),
            ("made", info.created_at),
            ("backbone", f"{info.backbone.name} ({info.backbone.source})"),
            ("accuracy", f"{_share(metrics.get('accuracy'))} on {metrics.get('count', 0)} photos"
             f" ({_share(low)} to {_share(high)})"),
            ("among the first three", _share(metrics.get("top3_accuracy"))),
            ("answers", f"{_share(metrics.get('answered'))} of the photos,"
             f" {_share(metrics.get('answered_accuracy'))} of these right"),
            ("calibration error", _share(metrics.get("calibration_error"))),
            ("photos", ", ".join(f"{info.data.get(side, 0)} {side}"
                                 for side in ("train", "validation", "test"))),
            ("categories", ", ".join(info.labels)),
        ]
    )  # fmt: skip


@command.command()
@click.argument("version")
@click.argument("other", required=False)
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="Compare on these photos, a folder per category, instead of the test photos.",
)
@_models
@_remote
@_json
def compare(
    *, version: str, other: str | None, images: Path | None, place: str, remote: bool, as_json: bool
) -> None:
    """Compare VERSION with OTHER (the model in use) on the same photos.

    Without --images: on the test photos that both were measured on. Nothing is decoded then.

    \b
    Examples:
      advisor model compare 20260102T030405-0a1b2c3d
      advisor model compare NEW OLD --images other-photos
    """
    from advisor.vision.publishing import compare_bundles, current_model

    models = _open(place, remote=remote)
    other = other or current_model(models).version
    if images:
        found = _compare_on(models, version, other, images)
    else:
        found = compare_bundles(models, version, other)
    if as_json:
        figures = {"version": version, "other": other, **asdict(found), "p": found.p}
        click.echo(json.dumps(figures))
    else:
        click.echo(f"{version}, compared with {other}: {found}")


@command.command()
@click.argument("version")
@click.option("--force", metavar="REASON", help="Publish even if it is not better.")
@click.option(
    "--max-p",
    type=click.FloatRange(0, 1),
    help="How likely its gain may be chance. Default: 0.05; 0.5 takes any gain.",
)
@_models
@_remote
@_json
def publish(
    *, version: str, force: str | None, max_p: float | None, place: str, remote: bool, as_json: bool
) -> None:
    """Put a model into use, if it is better than the one in use on the photos both know.

    VERSION is a stored model, or the folder of a bundle, which is stored first. A model that is
    not better is refused with the figures, and the exit status is 1.

    \b
    Examples:
      advisor model publish new-model
      advisor model publish 20260102T030405-0a1b2c3d --force "the shop renamed its categories"
    """
    from advisor.vision.gate import MAX_P
    from advisor.vision.publishing import publish as put_into_use

    reason = (force or "").strip()
    if force is not None and not reason:
        raise click.UsageError("--force without a reason; expected one, for the history")
    models = _open(place, remote=remote)
    if Path(version).is_dir():
        version = _store(models, Path(version))
    if remote:
        if max_p is not None:
            raise click.UsageError("--max-p is a setting of the deployed stacks (publish_max_p)")
        event = {"version": version, "force": bool(reason), "reason": reason}
        _tell(_invoke(event), as_json=as_json)
        return
    current = put_into_use(models, version, force=reason, max_p=MAX_P if max_p is None else max_p)
    _tell_current(current, place, as_json=as_json)


@command.command()
@click.argument("version")
@click.argument("folder", type=click.Path(path_type=Path))
@_models
@_remote
def export(*, version: str, folder: Path, place: str, remote: bool) -> None:
    """Write a model to FOLDER as a TensorFlow SavedModel, beside labels.txt.

    VERSION is a stored model, or the folder of a bundle. The SavedModel takes decoded photos and
    gives what the model itself does, which is checked. This needs TensorFlow.

    \b
    Examples:
      advisor model export new-model saved-model
      advisor model export 20260102T030405-0a1b2c3d saved-model --models s3://my-bucket
    """
    import tempfile

    from advisor.vision.bundle import load_bundle
    from cli.terminal import working
    from training.saved_model import write_saved_model

    with tempfile.TemporaryDirectory() as temporary:
        if Path(version).is_dir():
            bundle = load_bundle(Path(version))
        else:
            bundle = _fetched(_open(place, remote=remote), version, Path(temporary))
        with working() as (say, _):
            say(f"Writing {bundle.info.version} with TensorFlow")
            write_saved_model(bundle, folder)
    click.echo(f"{folder} holds {bundle.info.version} as a SavedModel.")


@command.command()
@click.option("--reason", default="", help="Why, for the history.")
@_models
@_remote
@_json
def rollback(*, reason: str, place: str, remote: bool, as_json: bool) -> None:
    """Put the model into use again that was before the one in use.

    \b
    Example: advisor model rollback --reason "hats became shoes"
    """
    from advisor.vision.publishing import rollback as go_back

    models = _open(place, remote=remote)
    if remote:
        _tell(_invoke({"rollback": True, "reason": reason}), as_json=as_json)
        return
    _tell_current(go_back(models, reason=reason), place, as_json=as_json)


def _open(place: str, *, remote: bool) -> Models:
    if not remote and not place.startswith("s3://"):
        from advisor.vision.model_folder import ModelFolder

        return ModelFolder(Path(place))
    from advisor.aws.models import ModelStore
    from advisor.aws.stacks import STORAGE_STACK, stack_outputs

    store = ModelStore(stack_outputs(STORAGE_STACK)["DataBucket"]) if remote else None
    store = store or ModelStore.at(place)
    store.check()
    return store


def _store(models: Any, folder: Path) -> str:
    """Store a bundle that is sound, down to what it says of its golden photos."""
    from advisor.vision.classifier import Classifier
    from advisor.vision.model_folder import ModelFolder

    Classifier.load(folder)
    version: str = models.add(folder) if isinstance(models, ModelFolder) else models.upload(folder)
    return version


def _compare_on(models: Models, version: str, other: str, images: Path) -> Comparison:
    """Both models on a folder of photos."""
    import tempfile

    from advisor.vision.gate import compare as compare_answers
    from cli.terminal import working
    from training.dataset import scan
    from training.evaluate import answer_photos

    files = scan(images)
    said, labels = [], []
    with tempfile.TemporaryDirectory() as temporary, working() as (_, progress):
        for one in (version, other):
            bundle = _fetched(models, one, Path(temporary) / one)
            answers = answer_photos(bundle, files, progress)
            labels.append(bundle.info.labels)
            said.append(
                {a.image_id: (a.file.label, a.labels[0].label) for a in answers if a.labels}
            )
    return compare_answers(*said, fresh_labels=labels[0], current_labels=labels[1])


def _fetched(models: Models, version: str, folder: Path) -> Bundle:
    """A stored model, read by way of a folder of its own."""
    from advisor.vision.bundle import load_bundle
    from advisor.vision.publishing import check_bundle

    files = check_bundle(models, version).files
    folder.mkdir(exist_ok=True)
    for name in ("bundle.json", *files):
        (folder / name).write_bytes(models.read_file(version, name))
    return load_bundle(folder)


def _invoke(event: dict[str, Any]) -> dict[str, Any]:
    from advisor.aws.stacks import SERVICE_STACK, invoke, stack_outputs
    from advisor.errors import NotBetterError

    answer = invoke(stack_outputs(SERVICE_STACK)["PublishModelFunction"], event)
    if not answer["published"]:
        raise NotBetterError(answer["reason"])
    return answer


def _tell(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(answer, ensure_ascii=False))
        return
    click.echo(
        f"{answer['version']} is in use: {answer['reason']}. It labels {answer['requeued']} photos."
    )


def _tell_current(current: CurrentModel, place: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(asdict(current), ensure_ascii=False))
        return
    click.echo(f"{current.version} is in use: {current.reason}.")
    if place.startswith("s3://"):
        click.echo(
            "The photos in the catalog keep the labels they have; --remote has them seen by it.",
            err=True,
        )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
