"""A crawl's results on AWS: pages, items, photos and records in S3, the catalog in DynamoDB.

pages/<ab>/<hash of the body>.gz                   each body once, whichever run and shop it is of
items/SHOP/RUN/TURN-00001.jsonl                    the items of a batch
images/<category>/SHOP/<sku>-<image id>.<ext>
visits/RUN/...                                     see `advisor.aws.crawl_records`
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, Self
from urllib.parse import quote

from botocore.exceptions import ClientError

from advisor.aws.clients import client
from advisor.aws.crawl_records import Heading, RecordWriter
from advisor.aws.frontier_rows import iso
from advisor.aws.photos import catalog_key
from advisor.crawling.items import Item
from advisor.crawling.messages import ArchivedPage, archive_name
from advisor.crawling.photos import Photo
from advisor.crawling.sink import Results
from advisor.naming import path_segment

PAGES = "pages/"
_WRITERS = 16


def items_prefix(shop: str, run_id: str) -> str:
    """What the keys of a run's files of items begin with."""
    return f"items/{path_segment(shop)}/{run_id}/"


class ItemTables(Protocol):
    """What keeps products and prices (`advisor.aws.catalog.CatalogTables`)."""

    def put_item(self, item: Item, *, run_id: str, observed_at: str) -> None: ...


class CrawlStore:
    """A `Sink` for one turn of a run. Use it within `with`.

    turn: names its files of items and records; such names sort by time. again: the shop was
    crawled before, so that most pages and photos will be there. broken_off: the turn before did not
    come to its end, and some of the items that it wrote come again.
    """

    def __init__(
        self,
        bucket: str,
        tables: ItemTables,
        *,
        heading: Heading,
        turn: str,
        again: bool,
        broken_off: bool,
        clock: Callable[[], float],
    ) -> None:
        self._bucket = bucket
        self._tables = tables
        self._shop = heading.shop
        self._run_id = heading.run_id
        self._turn = turn
        self._again = again
        self._written: set[str] | None = None if broken_off else set()  # ids, once they are read
        self._clock = clock
        self._records = RecordWriter(bucket, heading, turn=turn)
        self._archived: set[str] = set()
        self._batches = 0
        self._writers = ThreadPoolExecutor(_WRITERS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._writers.shutdown()
        if error is None:
            self._records.close()

    def write(self, results: Results) -> Mapping[str, int]:
        """Keep a batch, side by side; an error of one is raised when all have ended.

        Products go before photos: what labels a photo finds its product there.
        """
        observed_at = iso(self._clock())
        self._all(
            [self._writers.submit(self._put_page, page) for page in self._new_pages(results.pages)]
            + [self._writers.submit(self._records.write, results)]
            + [
                self._writers.submit(
                    self._tables.put_item, item, run_id=self._run_id, observed_at=observed_at
                )
                for item in results.items
            ]
        )
        if results.items:
            self._put_items(results)
        self._all([self._writers.submit(self._put_photo, photo) for photo in results.photos])
        return {}

    def _new_pages(self, pages: Collection[ArchivedPage]) -> list[ArchivedPage]:
        """Those that this turn has not archived yet, each once."""
        by_digest = {page.digest: page for page in pages}
        return [page for digest, page in by_digest.items() if digest not in self._archived]

    def _put_page(self, page: ArchivedPage) -> None:
        self._put_new(
            PAGES + archive_name(page.digest),
            page.data,
            ContentType="text/html",
            ContentEncoding="gzip",
        )
        self._archived.add(page.digest)

    def _put_new(self, key: str, data: bytes, **more: Any) -> None:
        """Store what is named by its content, unless it is there: neither twice, nor announced
        again to whom S3 tells of new photos. To ask costs a twelfth of a put, also a refused one.
        """
        if self._again and self._is_there(key):
            return
        stored = {"Bucket": self._bucket, "Key": key, "Body": data, **more}
        try:
            client("s3").put_object(**stored, IfNoneMatch="*")
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "ConditionalRequestConflict":  # another worker stores the same this moment
                client("s3").put_object(**stored)
            elif code != "PreconditionFailed":  # it is there
                raise

    def _is_there(self, key: str) -> bool:
        try:
            client("s3").head_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            # 403: a function that may not list the bucket is not told that there is no such key.
            if error.response["Error"]["Code"] not in ("403", "404"):
                raise
            return False
        return True

    def _put_items(self, results: Results) -> None:
        if self._written is None:
            self._written = self._items_written()
        items = [item for item in results.items if item.id not in self._written]
        if not items:
            return
        self._batches += 1
        lines = (json.dumps(item.to_dict(), ensure_ascii=False) + "\n" for item in items)
        client("s3").put_object(
            Bucket=self._bucket,
            Key=f"{items_prefix(self._shop, self._run_id)}{self._turn}-{self._batches:05d}.jsonl",
            Body="".join(lines).encode("utf-8", "replace"),
            ContentType="application/x-ndjson",
        )

    def _items_written(self) -> set[str]:
        """The items in the run's files; those that were settled too do not come again."""
        prefix = items_prefix(self._shop, self._run_id)
        pages = client("s3").get_paginator("list_objects_v2")
        return {
            json.loads(line)["id"]
            for page in pages.paginate(Bucket=self._bucket, Prefix=prefix)
            for one in page.get("Contents", ())
            for line in client("s3")
            .get_object(Bucket=self._bucket, Key=one["Key"])["Body"]
            .iter_lines()
        }

    def _put_photo(self, photo: Photo) -> None:
        self._put_new(
            catalog_key(photo, self._shop, image_id=photo.image_id, extension=photo.extension),
            photo.data,
            ContentType=photo.content_type,
            Metadata={"product-id": quote(photo.product_id), "image-id": photo.image_id},
        )

    @staticmethod
    def _all(writes: list[Future[None]]) -> None:
        errors = [error for write in writes if (error := write.exception())]
        if errors:
            raise errors[0]
