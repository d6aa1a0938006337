"""Features that the classify function stored of a bucket's photos: training need not read these.

They serve only where the model in use saw the photos as this run would: by the same preprocessing
and a graph that is the same to the byte but for its head (decision 17).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from advisor.aws.embeddings import EmbeddingTable
from advisor.aws.models import ModelStore
from advisor.aws.photos import photos_under
from advisor.aws.prefixes import S3Uri
from advisor.errors import BundleError, DataError, NoModelError, NotFoundError
from advisor.vision.bundle_info import INFO, MODEL, BundleInfo
from advisor.vision.fingerprints import Fingerprint
from advisor.vision.images import PREPROCESSING_ID
from training.features import Features, Found, Known, gather
from training.tflite import put_head

if TYPE_CHECKING:
    from advisor.aws.embeddings import EmbeddingRow
    from training.dataset import PhotoFile


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What is stored of the photos below an S3 prefix.

    photos: sha256 and product_id, by the photo's path below it. known: their features.
    """

    images: str
    photos: Mapping[str, tuple[str, str]]
    known: Known

    def told(self, file: PhotoFile) -> PhotoFile:
        """The photo with what is stored of it; its bytes are fetched if somebody asks for them."""
        if file.inside not in self.photos:
            return file
        content, product_id = self.photos[file.inside]
        return replace(
            file,
            content=content,
            origin=self.images,
            product_id=file.product_id or product_id,
        )


def read_stored(images: str, table: str, graph: bytes, *, folder: Path) -> Stored | None:
    """The features in a table of the photos below an S3 prefix; None where they are of others.

    graph: of this run, with the placeholder of head.py. folder: where they are held meanwhile.
    Raises: DataError if the table or the model in use cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    where = S3Uri.parse(images)
    store = ModelStore(where.bucket)
    photos: dict[str, tuple[str, str]] = {}
    try:
        info = BundleInfo.from_json(store.read_file(store.current().version, INFO))
        if info.preprocessing_id != PREPROCESSING_ID:
            return None
        if put_head(store.read_file(info.version, MODEL), None) != graph:
            return None
        known = gather(_found(EmbeddingTable(table), info, where, photos), folder)
    except (NoModelError, NotFoundError, BundleError):  # a sound one may be what this run makes
        return None
    except (BotoCoreError, ClientError) as error:
        raise DataError(f"stored features, of {table}, cannot be read: {error}") from error
    return Stored(images=images.rstrip("/"), photos=photos, known=known) if photos else None


def _found(
    table: EmbeddingTable, info: BundleInfo, where: S3Uri, photos: dict[str, tuple[str, str]]
) -> Iterator[Found]:
    """The features of the photos that are there, each content once; fills in `photos`."""
    beginning = f"{where.key.rstrip('/')}/" if where.key else ""
    there = {place.key for place in photos_under(where.bucket, beginning)}
    contents: set[str] = set()
    for label in info.labels:
        for row in table.rows(info.version, label):
            features = _features(row)
            named_by_content = f"-{row.image_id[:12]}." in row.photo_key  # else it may have changed
            if features and named_by_content and row.photo_key in there:
                photos[row.photo_key.removeprefix(beginning)] = row.image_id, row.product_id
                if row.image_id not in contents:
                    contents.add(row.image_id)
                    yield Found(row.image_id, features)


def _features(row: EmbeddingRow) -> Features | None:
    if row.length is None or row.fingerprint is None:  # on a second shelf, or of an older release
        return None
    return Features(row.embedding * row.length, Fingerprint.from_bytes(row.fingerprint))
