"""A crawl's results on AWS: pages, items and photos in S3, products and prices in DynamoDB."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, Self
from urllib.parse import quote

from advisor.aws.clients import client
from advisor.aws.frontier_rows import iso
from advisor.crawling.items import Item
from advisor.crawling.messages import Response, archive_bytes, archive_name, body_hash
from advisor.crawling.photos import Photo
from advisor.crawling.sink import Results
from advisor.naming import path_segment

_WRITERS = 16


class ItemTables(Protocol):
    """What keeps products and prices (`advisor.aws.catalog.CatalogTables`)."""

    def put_item(self, item: Item, *, run_id: str, observed_at: str) -> None: ...


class CrawlStore:
    """A `Sink` for one turn of a run. Use it within `with`. turn: names its files of items."""

    def __init__(
        self,
        bucket: str,
        tables: ItemTables,
        *,
        shop: str,
        run_id: str,
        turn: str,
        clock: Callable[[], float],
    ) -> None:
        self._bucket = bucket
        self._tables = tables
        self._shop = shop
        self._run_id = run_id
        self._turn = turn
        self._clock = clock
        self._batches = 0
        self._writers = ThreadPoolExecutor(_WRITERS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writers.shutdown()

    def write(self, results: Results) -> Mapping[str, int]:
        """Keep a batch, side by side; an error of one is raised when all have ended.

        Products go before photos: what labels a photo finds its product there.
        """
        observed_at = iso(self._clock())
        self._all(
            [self._writers.submit(self._put_page, page) for page in results.pages]
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

    def _put_page(self, page: Response) -> None:
        client("s3").put_object(
            Bucket=self._bucket,
            Key=f"pages/{self._folder}/{archive_name(body_hash(page.body))}",
            Body=archive_bytes(page),
            ContentType="text/html",
            ContentEncoding="gzip",
            Metadata={"url": quote(page.url, safe=":/?&=%")[:1500], "status": str(page.status)},
        )

    def _put_items(self, results: Results) -> None:
        self._batches += 1
        lines = (json.dumps(item.to_dict(), ensure_ascii=False) + "\n" for item in results.items)
        client("s3").put_object(
            Bucket=self._bucket,
            Key=f"items/{self._folder}/{self._turn}-{self._batches:05d}.jsonl",
            Body="".join(lines).encode("utf-8", "replace"),
            ContentType="application/x-ndjson",
        )

    def _put_photo(self, photo: Photo) -> None:
        name = f"{path_segment(photo.sku)}-{photo.image_id[:12]}.{photo.extension}"
        client("s3").put_object(
            Bucket=self._bucket,
            Key=f"images/{path_segment(photo.category)}/{path_segment(self._shop)}/{name}",
            Body=photo.data,
            ContentType=photo.content_type,
            Metadata={"product-id": quote(photo.product_id), "image-id": photo.image_id},
        )

    @property
    def _folder(self) -> str:
        return f"{path_segment(self._shop)}/{self._run_id}"

    @staticmethod
    def _all(writes: list[Future[None]]) -> None:
        errors = [error for write in writes if (error := write.exception())]
        if errors:
            raise errors[0]
