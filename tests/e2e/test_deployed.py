"""What a user sees of the stacks deployed into the emulator."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import requests

from advisor.aws.clients import client, table
from advisor.aws.models import CURRENT, ModelStore
from advisor.aws.redrive import work_queues
from advisor.uploads import MAX_BYTES
from local.cloud import REGION, SITE, Cloud, advisor_command
from local.demo import SHOP_ONE, SHOP_TWO, Demo


def rows(name: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = table(name).scan()["Items"]
    return items


def wait_for(look: Callable[[], Any], timeout_s: float = 30) -> Any:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.2)
    raise AssertionError("waited in vain")


def post(cloud: Cloud, route: str, data: bytes, kind: str = "image/jpeg") -> requests.Response:
    return requests.post(
        f"{cloud.api_url}/{route}", data=data, headers={"Content-Type": kind}, timeout=30
    )


def upload(cloud: Cloud, key: str, data: bytes) -> str:
    client("s3").put_object(Bucket=cloud["UploadsBucket"], Key=key, Body=data)
    return hashlib.sha256(data).hexdigest()


def test_every_step_of_the_demo_worked(demo: Demo) -> None:
    assert [step.name for step in demo.steps if not step.ok] == []


def test_a_crawl_fills_the_catalog(demo: Demo, cloud: Cloud) -> None:
    for shop, run in demo.runs.items():
        products = [row for row in rows(cloud["ProductsTable"]) if row["shop"] == shop]
        assert len(products) == run.items > 40
        assert all(row["title"] and row["category"] for row in products)
        priced = {row["product_id"] for row in products if "price_minor" in row}
        prices = {row["product_id"] for row in rows(cloud["PricesTable"])}
        assert priced == {one for one in prices if one.startswith(f"{shop}:")}


def test_what_a_shop_has_wrong_is_counted_and_stops_nothing(demo: Demo) -> None:
    for run in demo.runs.values():
        assert run.status == "finished"
        assert run.dropped >= 1  # an item without a description
        assert run.errors >= 2  # broken links, a photo that is not there


def test_photos_are_the_shops_own_bytes_under_their_category(demo: Demo, cloud: Cloud) -> None:
    s3 = client("s3")
    listing = s3.list_objects_v2(Bucket=cloud["DataBucket"], Prefix="images/shoes/")
    key = listing["Contents"][0]["Key"]
    answer = s3.get_object(Bucket=cloud["DataBucket"], Key=key)
    body = answer["Body"].read()
    assert body.startswith(b"\xff\xd8")
    assert answer["Metadata"]["image-id"] == hashlib.sha256(body).hexdigest()


def test_items_are_json_lines(cloud: Cloud) -> None:
    s3 = client("s3")
    listing = s3.list_objects_v2(Bucket=cloud["DataBucket"], Prefix="items/")
    lines = [
        json.loads(line)
        for one in listing["Contents"]
        for line in s3.get_object(Bucket=cloud["DataBucket"], Key=one["Key"])["Body"].iter_lines()
    ]
    assert len({(line["shop"], line["id"]) for line in lines}) == len(rows(cloud["ProductsTable"]))
    assert all(
        {"id", "title", "category", "description", "images", "url"} <= set(line) for line in lines
    )


def test_every_photo_of_the_catalog_has_an_embedding_of_the_published_model(
    demo: Demo, cloud: Cloud
) -> None:
    shelves = {row["shelf"].partition("#")[0] for row in rows(cloud["EmbeddingsTable"])}
    assert shelves == {demo.version}
    answer = requests.get(f"{cloud.api_url}/model", timeout=30).json()
    assert answer["version"] == demo.version
    assert len(answer["labels"]) == 6


def test_an_upload_of_any_name_is_labelled(cloud: Cloud, photo: bytes) -> None:
    keys = (
        "uploads/some folder/naïve + 100 %.jpg",
        "at the top, without an extension",
        "uploads/%2B+%20/",
        "uploads/日本 😀?&=#;\"'\\",
        "uploads/" + "é" * 508,  # 1,024 bytes
    )
    for number, key in enumerate(keys):
        image_id = upload(cloud, key, photo + b"name %d" % number)  # by its bytes another
        answer = wait_for(lambda image_id=image_id: image_answer(cloud, image_id))
        assert answer["labels"][0]["label"], key
        row = next(row for row in rows(cloud["LabelsTable"]) if row["image_id"] == image_id)
        assert row["key"] == key


def test_an_upload_that_is_no_photo_is_recorded_with_the_reason(cloud: Cloud) -> None:
    image_id = upload(cloud, "uploads/notes.txt", b"these are my notes")
    row = wait_for(
        lambda: [row for row in rows(cloud["LabelsTable"]) if row["image_id"] == image_id]
    )[0]
    assert row["status"] == "unreadable"
    assert row["reason"]


def test_many_uploads_at_once_are_all_labelled(cloud: Cloud, photo: bytes) -> None:
    photos = [photo + b"of many" + bytes([number]) for number in range(60)]
    with ThreadPoolExecutor(8) as threads:
        sent = set(
            threads.map(lambda one: upload(cloud, f"uploads/many/{one[-1]}.jpg", one), photos)
        )
    assert len(sent) == len(photos)

    def labelled() -> set[str]:
        found = rows(cloud["LabelsTable"])
        return {row["image_id"] for row in found if row["status"] == "labelled"}

    wait_for(lambda: sent <= labelled(), timeout_s=120)


def image_answer(cloud: Cloud, image_id: str) -> Any:
    answer = requests.get(f"{cloud.api_url}/images/{image_id}", timeout=30)
    return answer.json() if answer.ok else None


def test_raw_multipart_and_json_give_the_same_labels(cloud: Cloud, photo: bytes) -> None:
    raw = post(cloud, "classify", photo)
    form = requests.post(
        f"{cloud.api_url}/classify", files={"photo": ("a.jpg", photo, "image/jpeg")}, timeout=30
    )
    body = json.dumps({"image": base64.b64encode(photo).decode()}).encode()
    as_json = post(cloud, "classify", body, "application/json")
    answers = [answer.json() for answer in (raw, form, as_json)]
    assert [answer["labels"] for answer in answers] == [answers[0]["labels"]] * 3
    assert answers[0]["image_id"] == hashlib.sha256(photo).hexdigest()


def test_a_body_that_is_no_photo_gets_a_problem_document(cloud: Cloud) -> None:
    answer = post(cloud, "classify", b"GIF89a but not really")
    assert answer.status_code == 422
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.json()["status"] == 422


def test_suggestions_give_the_product_with_both_prices_cheapest_first(
    cloud: Cloud, photo: bytes
) -> None:
    best = post(cloud, "suggestions", photo).json()["suggestions"][0]
    prices = [offer["price_minor"] for offer in best["offers"]]
    assert {offer["shop"] for offer in best["offers"]} == {SHOP_ONE, SHOP_TWO}
    assert prices == sorted(prices)
    assert requests.get(best["photo_url"], timeout=30).content.startswith(b"\xff\xd8")
    product = requests.get(
        f"{cloud.api_url}/products/{quote(best['offers'][0]['product_id'], safe='')}", timeout=30
    ).json()
    assert product["title"] == best["offers"][0]["title"]


def test_a_product_that_is_not_there_is_a_404(cloud: Cloud) -> None:
    answer = requests.get(f"{cloud.api_url}/products/nobody%3Anothing", timeout=30)
    assert answer.status_code == 404
    assert "nobody:nothing" in answer.json()["detail"]


def test_a_presigned_upload_takes_a_photo(cloud: Cloud, photo: bytes) -> None:
    form = requests.post(f"{cloud.api_url}/uploads", json={"filename": "my.jpg"}, timeout=30).json()
    changed = photo + b"\0\0"
    sent = requests.post(form["url"], data=form["fields"], files={"file": changed}, timeout=30)
    assert sent.ok, sent.text
    assert wait_for(lambda: image_answer(cloud, hashlib.sha256(changed).hexdigest()))


def test_an_upload_of_another_type_or_of_too_many_bytes_is_refused(cloud: Cloud) -> None:
    wish = {"filename": "my.jpg", "content_type": "image/jpeg"}
    form = requests.post(f"{cloud.api_url}/uploads", json=wish, timeout=30).json()
    for fields, size in (({"Content-Type": "text/html"}, 10), ({}, MAX_BYTES + 1), ({}, 0)):
        sent = requests.post(
            form["url"], data=form["fields"] | fields, files={"file": bytes(size)}, timeout=60
        )
        assert sent.status_code in (400, 403), (fields, size)
    listed = client("s3").list_objects_v2(Bucket=cloud["UploadsBucket"], Prefix=form["key"])
    assert listed["KeyCount"] == 0


def test_what_fails_every_time_is_a_dead_letter_which_redrive_sends_back(
    cloud: Cloud, photo: bytes
) -> None:
    """What is wrong here is models/current.json; it is mended before the letter is sent back."""
    s3, queue, changed = client("s3"), cloud["PhotosQueueUrl"], photo + b"\0\0\0"
    current = {"Bucket": cloud["DataBucket"], "Key": CURRENT}
    sound = s3.get_object(**current)["Body"].read()
    asked = client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["VisibilityTimeout"])
    hurried = {"VisibilityTimeout": "1"}  # after which a message that failed is tried again
    client("sqs").set_queue_attributes(QueueUrl=queue, Attributes=hurried)
    [photos] = [one for one in work_queues() if one.name == "photos"]
    try:
        s3.put_object(**current, Body=b"{")
        image_id = upload(cloud, "uploads/in vain", changed)
        wait_for(photos.dead, timeout_s=120)
        assert image_answer(cloud, image_id) is None
    finally:
        s3.put_object(**current, Body=sound)
        client("sqs").set_queue_attributes(QueueUrl=queue, Attributes=asked["Attributes"])
    dead = photos.dead()
    command = [advisor_command(), "redrive", "photos", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert json.loads(done.stdout) == {"queue": "photos", "dead": dead, "sent": dead}, done.stderr
    assert wait_for(lambda: image_answer(cloud, image_id))["labels"]
    assert photos.dead() == 0


def test_several_photos_are_answered_in_their_order(cloud: Cloud, photo: bytes) -> None:
    files = [("photo", ("a.jpg", one)) for one in (photo, b"no photo", photo)]
    answer = requests.post(f"{cloud.api_url}/classify?threshold=0.01", files=files, timeout=60)
    first, second, third = answer.json()["images"]
    assert first["labels"] == third["labels"]
    assert second["status"] == 422


def test_every_page_is_served_by_the_distribution(cloud: Cloud) -> None:
    headers = {"Host": cloud["SiteUrl"].removeprefix("https://"), "X-Forwarded-Proto": "https"}
    pages = sorted(path.name for path in SITE.glob("*.html"))
    assert {"index.html", "browse.html", "product.html"} <= set(pages)
    for page in pages:
        answer = requests.get(f"{cloud.emulator.url}/{page}", headers=headers, timeout=30)
        assert answer.status_code == 200, page
        assert "<title>" in answer.text
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]


def test_the_page_is_served_with_the_address_of_the_api(cloud: Cloud) -> None:
    folder = cloud.page_url.rpartition("/")[0]
    assert "<title>" in requests.get(cloud.page_url, timeout=30).text
    config = requests.get(f"{folder}/config.json", timeout=30).json()
    assert config == {"apiUrl": cloud.api_url, "region": REGION}
    # The distribution, as on AWS, behind a proxy that ended TLS; it sends our headers.
    by_name = requests.get(
        f"{cloud.emulator.url}/",
        headers={
            "Host": cloud["SiteUrl"].removeprefix("https://"),
            "X-Forwarded-Proto": "https",
        },
        timeout=30,
    )
    assert "<title>" in by_name.text
    assert "default-src 'none'" in by_name.headers["Content-Security-Policy"]


def test_nothing_ended_in_a_dead_letter_queue(demo: Demo, cloud: Cloud) -> None:
    for queue in ("DeadTokensQueueUrl", "DeadPhotosQueueUrl"):
        attributes = client("sqs").get_queue_attributes(
            QueueUrl=cloud[queue], AttributeNames=["ApproximateNumberOfMessages"]
        )["Attributes"]
        assert attributes["ApproximateNumberOfMessages"] == "0", queue


def test_prices_are_whole_minor_units(cloud: Cloud) -> None:
    for row in rows(cloud["PricesTable"]):
        assert isinstance(row["price_minor"], Decimal)
        assert row["price_minor"] == int(row["price_minor"]) > 0
        assert row["currency"] == "EUR"


def test_trains_on_the_deployed_stacks_and_keeps_a_model_that_is_no_worse(
    demo: Demo, cloud: Cloud
) -> None:
    before = ModelStore(cloud["DataBucket"]).current().version
    command = [advisor_command(), "train", "--remote", "--json", "--backbone", demo.backbone]
    command += ["--min-images", "10", "--test-percent", "20", "--frozen"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    store = ModelStore(cloud["DataBucket"])
    assert store.version_of_job(told["job"]) == told["version"]
    assert told["version"] in store.versions()
    assert " of them new" in done.stderr  # plan_training has answered
    data = store.read_info(told["version"])["data"]  # of what the deployed function stored
    assert 0 < data["stored_features"] <= data["photos"]
    in_use = store.current().version
    assert in_use == (told["version"] if told["published"] else before)
