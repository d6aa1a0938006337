"""The categories' indexes in Amazon S3 Vectors, for catalogs beyond one function's disk and memory.

In the bucket of vectors: an index a model and category, changed in place. In the data bucket:

vectors/<model>/<category>/keys   which photos an index holds, 16 bytes each
vectors/current.json              as index/current.json (advisor.aws.indexes)

What an index holds is noted as it grows: a build that is broken off goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
from botocore.exceptions import ClientError

from advisor.aws.clients import client
from advisor.aws.embeddings import EmbeddingRow
from advisor.aws.indexes import IndexStore, StoredIndex
from advisor.aws.objects import is_old
from advisor.aws.rows import batches
from advisor.catalog.similarity import ShelfPhoto, SimilarPhoto
from advisor.naming import path_segment

MOST_FOUND: Final = 100  # that a query gives
MOST_DELETED: Final = 500  # a call
PUT_AT_ONCE: Final = 200  # of 500 a call: 1,280 numbers take 25 KB of JSON, and a call 20 MiB
NOTED_EVERY: Final = 20_000  # photos
_KEY_BYTES: Final = 16
_NAME: Final = "photos-"


def index_store(where: str, bucket: str, cache: Path) -> IndexStore:
    """The indexes of a data bucket. where: "files" in it, or the ARN of a bucket of vectors."""
    if where.startswith("arn:"):
        return VectorStore(bucket, cache, vectors_arn=where)
    return IndexStore(bucket, cache)


@dataclass(frozen=True)
class VectorIndex:
    """One category's photos in S3 Vectors, by the ARN of their index."""

    arn: str

    def search(self, query: npt.NDArray[np.float32], *, limit: int) -> list[SimilarPhoto]:
        """As `advisor.catalog.index.CategoryIndex.search`; MOST_FOUND at most."""
        found = client("s3vectors").query_vectors(
            indexArn=self.arn,
            topK=min(limit, MOST_FOUND),
            queryVector={"float32": query.tolist()},
            returnMetadata=True,
        )["vectors"]
        if not found:
            return []
        embeddings = self._embeddings([one["key"] for one in found])
        similar = [
            SimilarPhoto(
                ShelfPhoto(**one["metadata"]), _cosine(embeddings[one["key"]], query), embedding
            )
            for one in found
            if (embedding := embeddings.get(one["key"])) is not None  # it may have gone since
        ]
        return sorted(similar, key=lambda one: -one.similarity)

    def _embeddings(self, keys: Sequence[str]) -> dict[str, npt.NDArray[np.float32]]:
        """What offers are compared by; a query does not give them."""
        got = client("s3vectors").get_vectors(indexArn=self.arn, keys=keys, returnData=True)
        return {
            one["key"]: np.array(one["data"]["float32"], dtype=np.float32) for one in got["vectors"]
        }


@dataclass(frozen=True)
class VectorStore(IndexStore):
    """The indexes of one bucket of vectors. vectors_arn: the bucket's."""

    root: ClassVar[str] = "vectors/"
    vectors_arn: str = ""

    def store(
        self,
        model_version: str,
        label: str,
        rows: Iterable[EmbeddingRow],
        *,
        before: StoredIndex | None,
    ) -> StoredIndex | None:
        """Bring a category's index up to date; None for one without photos."""
        prefix = f"{self.root}{path_segment(model_version)}/{path_segment(label)}/"
        arn = self._arn(prefix)
        known = self._keys(prefix)
        held, noted = set(known), len(known)
        here: set[bytes] = set()
        for batch in batches(rows, PUT_AT_ONCE):
            new = {key: row for row in batch if (key := _key(row)) not in held}
            here.update(map(_key, batch))
            if new:
                if not held:
                    self._create(prefix, dimension=len(batch[0].embedding))
                vectors = [_vector(key, row) for key, row in new.items()]
                client("s3vectors").put_vectors(indexArn=arn, vectors=vectors)
                held.update(new)
            if len(held) - noted >= NOTED_EVERY:
                self._note(prefix, held)
                noted = len(held)
        if not here:
            return None
        for gone in batches(sorted(held - here), MOST_DELETED):
            keys = [key.hex() for key in gone]
            client("s3vectors").delete_vectors(indexArn=arn, keys=keys)
        if here != known:
            self._note(prefix, here)
        now = StoredIndex(prefix, len(here))
        return before if before == now else now

    def open(self, stored: StoredIndex) -> VectorIndex:
        """A stored index: nothing is fetched for it."""
        return VectorIndex(self._arn(stored.prefix))

    def _remove_others(self, kept: Collection[str]) -> None:
        # The notes first: what is noted to be in an index is not put there again.
        super()._remove_others(kept)
        names = {_name(prefix) for prefix in (*kept, *self._noted())}
        pages = client("s3vectors").get_paginator("list_indexes")
        for page in pages.paginate(vectorBucketArn=self.vectors_arn, prefix=_NAME):
            for one in page["indexes"]:
                if one["indexName"] not in names and is_old(
                    one["creationTime"], keep_s=self.keep_s
                ):
                    client("s3vectors").delete_index(indexArn=one["indexArn"])

    def _create(self, prefix: str, *, dimension: int) -> None:
        try:
            client("s3vectors").create_index(
                vectorBucketArn=self.vectors_arn,
                indexName=_name(prefix),
                dataType="float32",
                dimension=dimension,
                distanceMetric="cosine",
                metadataConfiguration={  # they are shown, nothing is chosen by them
                    "nonFilterableMetadataKeys": ["product_id", "image_id", "photo"]
                },
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConflictException":  # it is there
                raise

    def _arn(self, prefix: str) -> str:
        return f"{self.vectors_arn}/index/{_name(prefix)}"

    def _keys(self, prefix: str) -> frozenset[bytes]:
        try:
            answer = client("s3").get_object(Bucket=self.bucket, Key=f"{prefix}keys")
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchKey":
                raise
            return frozenset()
        data = answer["Body"].read()
        return frozenset(
            data[start : start + _KEY_BYTES] for start in range(0, len(data), _KEY_BYTES)
        )

    def _noted(self) -> Iterator[str]:
        """The prefixes of the indexes that something is noted of."""
        pages = client("s3").get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self.bucket, Prefix=self.root):
            for one in page.get("Contents", ()):
                yield one["Key"].removesuffix("keys")

    def _note(self, prefix: str, keys: Iterable[bytes]) -> None:
        client("s3").put_object(
            Bucket=self.bucket, Key=f"{prefix}keys", Body=b"".join(sorted(keys))
        )


def _name(prefix: str) -> str:
    """An index's name: of its model and category, which may be of any letters."""
    return _NAME + hashlib.blake2b(prefix.encode(), digest_size=16).hexdigest()


def _key(row: EmbeddingRow) -> bytes:
    """What a photo of a product is known by, there and in `keys`."""
    names = json.dumps([row.product_id, row.image_id, row.photo_key])
    return hashlib.blake2b(names.encode(), digest_size=_KEY_BYTES).digest()


def _vector(key: bytes, row: EmbeddingRow) -> dict[str, Any]:
    return {
        "key": key.hex(),
        "data": {"float32": row.embedding.tolist()},
        "metadata": {
            "product_id": row.product_id,
            "image_id": row.image_id,
            "photo": row.photo_key,
        },
    }


def _cosine(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """Of two of unit length, as 0..1."""
    return float(np.clip(one @ other, 0.0, 1.0))
