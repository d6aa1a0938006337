"""The demo: shops, crawl, training, labels and suggestions on the emulator, in one go.

`python -m local.demo` stays up until Ctrl-C; with `--once` it stops by itself, and its exit
status says whether every step worked. Either way build/demo-report.json tells what was seen.
"""

from __future__ import annotations

import hashlib
import io
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click
import requests
from boto3.dynamodb.conditions import Key
from PIL import Image, ImageEnhance
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from advisor.aws.clients import client, table
from advisor.aws.frontier import RunStatus, read_run
from advisor.errors import AdvisorError, UsageError
from examples.shops.assortment import read_goods
from examples.shops.serve import Shops, start_shops
from local import emulator as emulators
from local.cloud import Cloud, advisor_command, deploy
from local.lock import only_one
from local.processes import interrupt_on_signals, running_program

ROOT = emulators.ROOT
BUILD = ROOT / "build"
FOLDER = BUILD / "demo"
REPORT = BUILD / "demo-report.json"
GOODS = BUILD / "goods"

# The demo's categories hold a handful of goods, not the tutorial's 200 photos each.
MIN_IMAGES = 10
TEST_PERCENT = 20
SHOP_ONE, SHOP_TWO = "harveynorman", "nordlys"
CRAWL_TIMEOUT_S = 120
LABEL_TIMEOUT_S = 120
SCHEDULE_TIMEOUT_S = 120
STOP_TIMEOUT_S = 5
INTERRUPTED = 130  # the exit status of a program that Ctrl-C ended
PHOTO_OF = "Cruiser Skateboard"  # both shops sell it

Seen = dict[str, Any]
Told = tuple[str, Seen]  # what a step came to: a sentence for people, figures for the report


@dataclass
class Step:
    """One line of the report."""

    name: str
    seconds: float
    ok: bool
    said: str
    seen: Seen


@dataclass
class Demo:
    """What the steps share, and what they saw."""

    stack: ExitStack
    progress: Progress
    folder: Path = FOLDER
    backbone: str = ""  # the default of `advisor train`
    steps: list[Step] = field(default_factory=list)
    shops: Shops = field(init=False)
    cloud: Cloud = field(init=False)
    runs: dict[str, RunStatus] = field(default_factory=dict)
    version: str = ""
    photo: bytes = b""

    def run(self, name: str, step: Callable[[Demo], Told]) -> None:
        """Run a step, time it and note what it saw; a failed one is noted before it is raised."""
        start = time.monotonic()
        try:
            said, seen = step(self)
        except KeyboardInterrupt:
            self._note(Step(name, _since(start), ok=False, said="interrupted", seen={}))
            raise
        except Exception as error:
            said = str(error) or type(error).__name__
            self._note(Step(name, _since(start), ok=False, said=said, seen={}))
            raise
        self._note(Step(name, _since(start), ok=True, said=said, seen=seen))

    def _note(self, step: Step) -> None:
        self.steps.append(step)
        head = Text.assemble(
            ("✓ " if step.ok else "✗ ", "green" if step.ok else "red"),
            (f"{step.name:42}", "bold"),
            (f"{step.seconds:6.1f} s", "dim"),
        )
        self.progress.console.print(head, soft_wrap=True)
        for line in step.said.splitlines():
            self.progress.console.print(f"  {line}", soft_wrap=True, markup=False, highlight=False)

    @contextmanager
    def bar(
        self, text: str, total: float | None = None
    ) -> Iterator[Callable[[float, float], None]]:
        """A progress bar while the block runs; call what it gives with (done, total)."""
        task = self.progress.add_task(text, total=total)
        try:
            yield lambda done, all_: self.progress.update(task, completed=done, total=all_)
        finally:
            self.progress.remove_task(task)


def start(demo: Demo) -> Told:
    """Two demo shops in threads of this process, the emulator as a process beside it."""
    demo.shops = demo.stack.enter_context(start_shops(GOODS))
    emulator = demo.stack.enter_context(emulators.running(demo.folder))
    emulators.use(emulator)
    demo.cloud = Cloud(emulator, {})
    one, two = demo.shops.one.url, demo.shops.two.url
    said = f"The emulator listens at {emulator.url}, the shops at {one} and {two}."
    return said, {"emulator": emulator.url, "shop one": one, "shop two": two}


def deploy_stacks(demo: Demo) -> Told:
    """`cdk bootstrap` and `cdk deploy`, then the web page."""
    with demo.bar("cdk deploy") as update:
        demo.cloud = deploy(
            demo.cloud.emulator,
            shops=[event | {"schedule": "rate(1 minute)"} for event in _crawl_events(demo)],
            log=demo.folder / "deploy.log",
            progress=update,
        )
    summaries = client("cloudformation").list_stacks()["StackSummaries"]
    names = sorted(one["StackName"] for one in summaries)
    said = f"The stacks are in place: {', '.join(names)}."
    return said, {"stacks": names, "page": demo.cloud.page_url}


def crawl(demo: Demo) -> Told:
    """Both shops, through the deployed start_crawl function."""
    frontier = demo.cloud["FrontierTable"]
    started = {
        event["shop"]: demo.cloud.invoke("StartCrawl", event)["run_id"]
        for event in _crawl_events(demo)
    }

    def finished() -> bool:
        demo.runs = {shop: read_run(frontier, run_id) for shop, run_id in started.items()}
        done = sum(run.pages + run.photos for run in demo.runs.values())
        update(done, done + sum(run.todo for run in demo.runs.values()))
        return all(run.status != "running" for run in demo.runs.values())

    with demo.bar("crawling") as update:
        _wait(finished, "the crawl to finish", CRAWL_TIMEOUT_S)
    for shop, run in demo.runs.items():
        if run.status != "finished" or not run.items:
            raise UsageError(f"the crawl of {shop} ended {run.status} with {run.items} items")
    stored = {
        prefix: _count_objects(demo.cloud["DataBucket"], prefix)
        for prefix in ("pages/", "items/", "images/")
    }
    products, prices = (_count_rows(demo.cloud[name]) for name in ("ProductsTable", "PricesTable"))
    amiss = sum((Counter(run.errors_by_reason) for run in demo.runs.values()), Counter[str]())
    amiss["item without a description"] = sum(run.dropped for run in demo.runs.values())
    said = (
        f"{stored['pages/']} pages gave {products} products with {prices} prices and"
        f" {stored['images/']} photos.\n"
        "What the shops have wrong on purpose was counted and stopped nothing: "
        + ", ".join(f"{reason} ({count})" for reason, count in sorted(amiss.items()))
        + "."
    )
    seen = {shop: _run_summary(run) for shop, run in demo.runs.items()}
    return said, seen | {"stored": stored, "products": products, "prices": prices}


def train(demo: Demo) -> Told:
    """`advisor train` on the crawled photos, the bundle into the data bucket."""
    bucket = demo.cloud["DataBucket"]
    options = ["--min-images", str(MIN_IMAGES), "--test-percent", str(TEST_PERCENT), "--json"]
    options.append("--frozen")  # the demo is to be quick; fine-tuning takes minutes
    options += ["--backbone", demo.backbone] if demo.backbone else []
    demo.progress.stop()  # the program shows its own
    result = _run_json(
        "train", f"s3://{bucket}/images", "--out", f"s3://{bucket}/models/bundles", *options
    )
    demo.progress.start()
    demo.version = result["version"]
    said = (
        f"Model {demo.version} is right on {result['accuracy']:.0%} of {result['count']} photos"
        f" held back; it started from {result['backbone']}.\n"
        f"(The demo shops are small: --min-images {MIN_IMAGES} instead of 200,"
        f" --test-percent {TEST_PERCENT} instead of 10.)"
    )
    names = ("version", "accuracy", "count", "backbone", "seconds", "labels")
    return said, {name: result[name] for name in names}


def publish(demo: Demo) -> Told:
    """The publish_model function switches to the new model and has every photo labelled by it."""
    answer: Seen = demo.cloud.invoke("PublishModel", {"version": demo.version})
    if not answer["published"]:
        raise UsageError(f"the model was not published: {answer['reason']}")
    total = answer["requeued"]

    def labelled() -> bool:
        done = _count_shelved(demo.cloud["EmbeddingsTable"])
        update(done, total)
        return bool(done >= total)

    with demo.bar("labelling photos") as update:
        _wait(labelled, f"{total} photos to be labelled", LABEL_TIMEOUT_S)
    said = f"It is the model in use, and all {total} photos of the shops have labels from it."
    return said, {"accuracy": answer["accuracy"], "photos labelled": total}


def index(demo: Demo) -> Told:
    """The index function lists the products to browse, and indexes their photos."""
    answer: Seen = demo.cloud.invoke("Index", {})
    if not answer["complete"]:
        raise UsageError(f"the photos were not indexed: {answer['reason']}")
    said = f"{answer['products']} products can be browsed and searched on the web page."
    return said, {name: answer[name] for name in ("products", "photos", "categories")}


def upload(demo: Demo) -> Told:
    """A photo into the uploads bucket; its labels appear in DynamoDB."""
    demo.photo = photo_of_a_visitor()
    image_id = hashlib.sha256(demo.photo).hexdigest()
    client("s3").put_object(
        Bucket=demo.cloud["UploadsBucket"],
        Key="uploads/my photo.jpg",
        Body=demo.photo,
        ContentType="image/jpeg",
    )
    rows: list[dict[str, Any]] = []

    def there() -> bool:
        answer = table(demo.cloud["LabelsTable"]).query(
            KeyConditionExpression=Key("image_id").eq(image_id)
        )
        rows[:] = answer["Items"]
        return bool(rows)

    _wait(there, "the labels of the upload", LABEL_TIMEOUT_S)
    labels = [
        {"label": one["label"], "probability": float(one["probability"])}
        for one in rows[0]["labels"]
    ]
    said = f"In DynamoDB a new photo of a {PHOTO_OF.lower()} is {_label_text(labels[0])}."
    return said, {"photo of": PHOTO_OF, "labels": labels, "image": image_id[:12]}


def classify(demo: Demo) -> Told:
    """The same photo to the HTTPS endpoint."""
    answer = _post(demo, "classify")
    said = f"POST /classify answers {_label_text(answer['labels'][0])}."
    return said, {"labels": answer["labels"], "unknown": answer["unknown"]}


def suggest(demo: Demo) -> Told:
    """What is it, who sells it, and for how much?"""
    suggestions = _post(demo, "suggestions")["suggestions"]
    if not suggestions:
        raise UsageError("no product was suggested")
    best = suggestions[0]
    if PHOTO_OF not in [offer["title"] for offer in best["offers"]]:
        raise UsageError(f"the photo of a {PHOTO_OF} was taken for {best['title']!r}")
    shops = {offer["shop"] for offer in best["offers"] if offer["price_minor"] is not None}
    if shops != {SHOP_ONE, SHOP_TWO}:
        raise UsageError(f"{best['title']!r} has prices of {sorted(shops)}, not of both shops")
    prices = ", ".join(f"{_price(offer)} at {offer['shop']}" for offer in best["offers"])
    return f"POST /suggestions answers {best['title']!r}: {prices}.", {
        "product": best["title"],
        "similarity": best["similarity"],
        "offers": [
            {key: offer[key] for key in ("shop", "title", "price_minor", "currency")}
            for offer in best["offers"]
        ],
        "others": [one["title"] for one in suggestions[1:]],
    }


def schedule(demo: Demo) -> Told:
    """The deployed EventBridge schedule starts a crawl by itself, once a minute here."""
    from advisor.aws.frontier import list_runs

    fired: list[RunStatus] = []

    def seen() -> bool:
        runs = list_runs(demo.cloud["FrontierTable"])
        # A crawl that was going on when the schedule fired has noted it.
        fired[:] = [run for run in runs if "schedule" in (run.trigger, *run.triggers)]
        return bool(fired)

    with demo.bar("waiting: it fires once a minute"):
        _wait(seen, "the schedule to start a crawl", SCHEDULE_TIMEOUT_S)
    said = f"EventBridge asked for a crawl of {fired[0].shop} by itself."
    return said, {"crawls asked for by the schedule": len(fired), "first": fired[0].started_at}


STEPS: Sequence[tuple[str, Callable[[Demo], Told]]] = (
    ("Start the emulator and two shops", start),
    ("Deploy the stacks", deploy_stacks),
    ("Crawl both shops", crawl),
    ("Train on the crawled photos", train),
    ("Publish the model", publish),
    ("List the products, index their photos", index),
    ("Upload a photo to S3", upload),
    ("Send the photo to the classify endpoint", classify),
    ("Ask for suggestions", suggest),
    ("See the schedule start a crawl", schedule),
)


@click.command()
@click.option("--once", is_flag=True, help="Stop when done instead of waiting for Ctrl-C.")
def main(once: bool) -> None:
    """Run the demo on the local emulator."""
    interrupt_on_signals()
    console = Console(stderr=True)
    try:
        with only_one(FOLDER, "a demo"):
            sys.exit(_demo(console, once=once))
    except UsageError as error:  # a second demo
        console.print(f"demo: {error}", style="red", markup=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:  # once more, while it was stopping
        sys.exit(INTERRUPTED)


def _demo(console: Console, *, once: bool) -> int:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with ExitStack() as stack:
        demo = Demo(stack, Progress(*columns, console=console, transient=True))
        try:
            with demo.progress:
                for name, step in STEPS:
                    demo.run(name, step)
            _summary(demo)
            if not once:
                _stay_up()
        except AdvisorError as error:
            console.print(f"demo: {error}", style="red", markup=False, soft_wrap=True)
            console.print(f"Logs are in {FOLDER.relative_to(ROOT)}.", markup=False)
        except KeyboardInterrupt:
            console.print("demo: interrupted; stopped", markup=False)
            return INTERRUPTED
        finally:
            _write_report(demo.steps)
    finished = len(demo.steps) == len(STEPS) and all(step.ok for step in demo.steps)
    return 0 if finished else 1


def _stay_up() -> None:
    print("Drop a photo on the page. Ctrl-C stops everything.", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print("Stopping.", flush=True)


def _summary(demo: Demo) -> None:
    seen = {step.name: step.seen for step in demo.steps}
    crawled, model = seen["Crawl both shops"], seen["Train on the crawled photos"]
    suggested = seen["Ask for suggestions"]
    label = seen["Send the photo to the classify endpoint"]["labels"][0]
    console = Console()
    console.print(
        f"\nTwo shops were crawled: {crawled['products']} products with"
        f" {crawled['stored']['images/']} photos.\n"
        f"A model learned their categories from these photos and is right on"
        f" {model['accuracy']:.0%} of the {model['count']} held back.\n"
        f"A new photo of a {PHOTO_OF.lower()} is {_label_text(label)}, and the shops ask:\n",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    grid = Table("Shop", "Its name for it", box=box.SIMPLE_HEAD)
    grid.add_column("Price", justify="right")
    for offer in suggested["offers"]:
        grid.add_row(offer["shop"], offer["title"], _price(offer))
    console.print(grid)
    for name, value in (
        ("Web page", demo.cloud.page_url),
        ("API", demo.cloud.api_url),
        ("Shops", f"{demo.shops.one.url}  {demo.shops.two.url}"),
        ("Report", str(REPORT.relative_to(ROOT))),
    ):
        console.print(f"{name + ':':10} {value}", highlight=False, markup=False, soft_wrap=True)


def _write_report(steps: Sequence[Step]) -> None:
    report = json.dumps([asdict(step) for step in steps], indent=2, ensure_ascii=False)
    half = REPORT.with_suffix(".half")
    half.write_text(report + "\n", encoding="utf-8")
    half.replace(REPORT)


def _crawl_events(demo: Demo) -> list[dict[str, str]]:
    return [
        {"spider": "harveynorman", "shop": SHOP_ONE, "base_url": demo.shops.one.url},
        {"spider": "schema-org", "shop": SHOP_TWO, "base_url": demo.shops.two.url},
    ]


def _run_summary(run: RunStatus) -> Seen:
    names = ("pages", "items", "photos", "dropped", "errors")
    return {name: getattr(run, name) for name in names} | {"by reason": dict(run.errors_by_reason)}


def _run_json(*arguments: str) -> dict[str, Any]:
    """Run `advisor` with --json; its progress and its complaints go to the terminal."""
    command = [advisor_command(), *arguments]
    with running_program(command, grace_s=STOP_TIMEOUT_S, stdout=subprocess.PIPE) as process:
        said, _ = process.communicate()
    if process.returncode:
        raise UsageError(f"`advisor {arguments[0]}` failed with status {process.returncode}")
    answer: dict[str, Any] = json.loads(said)
    return answer


def _post(demo: Demo, route: str) -> dict[str, Any]:
    answer = requests.post(
        f"{demo.cloud.api_url}/{route}",
        data=demo.photo,
        headers={"Content-Type": "image/jpeg"},
        timeout=60,
    )
    if not answer.ok:
        raise UsageError(f"POST /{route} answered {answer.status_code}: {answer.text[:300]}")
    body: dict[str, Any] = answer.json()
    return body


def photo_of_a_visitor() -> bytes:
    """A photo of PHOTO_OF that no shop has, a JPEG."""
    return _snapshot(next(good for good in read_goods(GOODS) if good.name == PHOTO_OF).photo)


def _snapshot(path: Path) -> bytes:
    """A photo as a visitor might take it: no shop has these bytes, nor quite this view."""
    with Image.open(path) as photo:
        width, height = photo.size
        view = photo.rotate(3, Image.Resampling.BICUBIC).crop(
            (width // 20, height // 20, width - width // 20, height - height // 20)
        )
        darker = ImageEnhance.Brightness(view).enhance(0.9)
    buffer = io.BytesIO()
    darker.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _wait(condition: Callable[[], bool], what: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise UsageError(f"waited {timeout_s:.0f} s for {what}")
        time.sleep(0.5)


def _count_objects(bucket: str, prefix: str) -> int:
    pages = client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return sum(page.get("KeyCount", 0) for page in pages)


def _count_rows(name: str) -> int:
    pages = client("dynamodb").get_paginator("scan").paginate(TableName=name, Select="COUNT")
    return sum(page["Count"] for page in pages)


def _count_shelved(name: str) -> int:
    """Photos of products that have an embedding; one of an unsure label has two rows."""
    pages = (
        client("dynamodb")
        .get_paginator("scan")
        .paginate(TableName=name, ProjectionExpression="photo")
    )
    return len({item["photo"]["S"] for page in pages for item in page["Items"]})


def _label_text(label: Mapping[str, Any]) -> str:
    """A label with its probability, which is never shown as certain."""
    return f"{label['label']!r} ({min(label['probability'], 0.999):.1%})"


def _price(offer: Mapping[str, Any]) -> str:
    return f"{offer['price_minor'] / 100:,.2f} {offer['currency']}"


def _since(start: float) -> float:
    return round(time.monotonic() - start, 2)


if __name__ == "__main__":
    main()
