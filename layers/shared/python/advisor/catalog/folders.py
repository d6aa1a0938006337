"""The catalog in plain folders, as `advisor crawl` writes them: one folder a shop."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from advisor.catalog.categories import Shelved, Vote
from advisor.catalog.gtin import normalise_gtin
from advisor.catalog.photo_classifier import PhotoClassifier
from advisor.catalog.pins import Pins, pins_of
from advisor.catalog.products import Product
from advisor.catalog.similarity import Shelf, ShelfPhoto, SimilarPhoto, join, rank_similar
from advisor.catalog.suggestions import labels_to_search
from advisor.crawling.items import Item
from advisor.errors import DataError, InvalidItemError, UnreadableImageError
from advisor.naming import path_segment

ITEMS: Final = "items.jsonl"
PHOTOS: Final = "photos.jsonl"
KEPT: Final = np.float16
PINS: Final = "pins.json"
MATCHES: Final = "matches.jsonl"
CACHE: Final = ".embeddings"  # in the folder: what each model saw in its photos
Progress = Callable[[int, int], None]  # photos seen, of how many


@dataclass(frozen=True)
class ShopFolder:
    """A crawled folder: its products by id, and its photos (paths that can be opened)."""

    root: Path
    products: Mapping[str, Product]
    photos: tuple[ShelfPhoto, ...]

    @classmethod
    def read(cls, root: Path) -> ShopFolder:
        """Read items.jsonl and photos.jsonl. An item that names no shop is of the folder's name.

        Raises: DataError, naming the file and the line, if one is missing or cannot be read.
        """
        items = [
            _item(line, where, shop=root.resolve().name) for line, where in _lines(root / ITEMS)
        ]
        products = {item.product_id: Product(item=item) for item in items}
        by_sku = {item.id: item.product_id for item in items}
        photos = [_photo(root, line, where) for line, where in _lines(root / PHOTOS)]
        return cls(root, products, tuple(_of_known(photo, products, by_sku) for photo in photos))


@dataclass(frozen=True)
class SeenPhoto:
    """What a model says of a photo: the categories it stands in, and its embedding.

    probabilities: 0..1, one of each label.
    """

    labels: tuple[str, ...]
    embedding: npt.NDArray[np.float32]
    probabilities: tuple[float, ...] = ()


@dataclass(frozen=True)
class FolderCatalog:
    """Shops' folders, as one model sees them (an advisor.catalog.suggestions.Catalog).

    seen: by image id. unreadable: the photos that could not be read, with the reason.
    """

    shops: Sequence[ShopFolder]
    seen: Mapping[str, SeenPhoto]
    unreadable: Mapping[str, str] = field(default_factory=dict)

    def shelf(self, label: str) -> Shelf:
        """The photos of a category."""
        photos = tuple(
            photo
            for shop in self.shops
            for photo in shop.photos
            if photo.image_id in self.seen and label in self.seen[photo.image_id].labels
        )
        if not photos:
            return Shelf((), np.empty((0, 0), dtype=np.float32))
        return Shelf(photos, np.stack([self.seen[photo.image_id].embedding for photo in photos]))

    def similar(
        self, labels: Sequence[str], query: npt.NDArray[np.float32], *, limit: int
    ) -> list[SimilarPhoto]:
        """See `advisor.catalog.similarity.PhotoSearch`; every photo is compared."""
        return rank_similar(query, join([self.shelf(label) for label in labels]), limit=limit)

    def products(self, product_ids: Iterable[str]) -> dict[str, Product]:
        """The products of these ids."""
        known = {one: shop.products[one] for shop in self.shops for one in shop.products}
        return {one: known[one] for one in product_ids if one in known}

    def votes(self) -> list[Vote]:
        """What the model says of each photo of a product that is there, for its category."""
        return [
            Vote(
                shop=item.shop,
                category=item.category,
                product_id=photo.product_id,
                photo=photo.photo,
                label=label,
                probability=probability,
                image_id=photo.image_id,
            )
            for shop in self.shops
            for photo in shop.photos
            if photo.product_id in shop.products and photo.image_id in self.seen
            for item in (shop.products[photo.product_id].item,)
            for seen in (self.seen[photo.image_id],)
            for label, probability in zip(seen.labels, seen.probabilities, strict=True)
        ]

    def shelves(self) -> set[Shelved]:
        """Each shop's categories."""
        items = (product.item for shop in self.shops for product in shop.products.values())
        return {(item.shop, item.category) for item in items}

    def pins(self) -> Pins:
        """What people said of pairs of products, in the folders' matches.jsonl.

        Raises: DataError, naming the file and the line, if one cannot be read.
        """
        return pins_of(pair for shop in self.shops for pair in _decided(shop.root / MATCHES))

    def by_gtin(self, gtin: str) -> list[Product]:
        """Every shop's product of a GTIN."""
        return [
            product
            for shop in self.shops
            for product in shop.products.values()
            if normalise_gtin(product.item.gtin) == gtin
        ]


def look_at(
    shops: Sequence[ShopFolder], classifier: PhotoClassifier, *, progress: Progress
) -> FolderCatalog:
    """See every photo of the folders with the model; those it has seen before are remembered.

    A photo that cannot be read is left out and told in `unreadable`.
    """
    seen: dict[str, SeenPhoto] = {}
    unreadable: dict[str, str] = {}
    total, done = sum(len(shop.photos) for shop in shops), 0
    for shop in shops:
        remembered = recall(shop.root, classifier.version)
        fresh: dict[str, SeenPhoto] = {}
        for photo in shop.photos:
            if photo.image_id not in remembered and photo.image_id not in fresh:
                try:
                    fresh[photo.image_id] = _see(Path(photo.photo), classifier)
                except (UnreadableImageError, OSError) as error:
                    unreadable[photo.photo] = str(error)
            done += 1
            progress(done, total)
        if fresh:
            remember(shop.root, classifier.version, remembered | fresh)
        seen |= remembered | fresh
    return FolderCatalog(shops, seen, unreadable)


def recall(root: Path, version: str) -> dict[str, SeenPhoto]:
    """What a model saw in the folder's photos before, by image id; nothing if it is not known.

    A file that is damaged counts as none: it is made again.
    """
    try:
        data = _cache_file(root, version).read_bytes()
        with np.load(BytesIO(data), allow_pickle=False) as arrays:
            labels = json.loads(str(arrays["labels"]))
            said = json.loads(str(arrays["probabilities"]))
            embeddings = arrays["embeddings"].astype(np.float32)
            return {
                image_id: SeenPhoto(tuple(labels[number]), embeddings[number], tuple(said[number]))
                for number, image_id in enumerate(arrays["image_ids"].tolist())
            }
    except (OSError, ValueError, KeyError, IndexError, EOFError, BadZipFile):
        return {}


def remember(root: Path, version: str, seen: Mapping[str, SeenPhoto]) -> None:
    """Keep what a model saw, whole or not at all; a folder that cannot be written to is left."""
    target = _cache_file(root, version)
    try:
        target.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".half-") as half:
            file = Path(half) / target.name
            np.savez(
                file,
                image_ids=np.array(list(seen)),
                labels=np.array(json.dumps([one.labels for one in seen.values()])),
                probabilities=np.array(json.dumps([one.probabilities for one in seen.values()])),
                embeddings=np.stack([one.embedding for one in seen.values()]).astype(KEPT),
            )
            file.replace(target)
    except OSError:
        return  # it is only slower the next time


def _see(path: Path, classifier: PhotoClassifier) -> SeenPhoto:
    prediction = classifier.predict(path.read_bytes())
    # Rounded as it is kept, so that the second answer is the first one's equal.
    embedding = prediction.embedding.astype(KEPT).astype(np.float32)
    labels = labels_to_search(prediction.classification)
    probability = {one.label: one.probability for one in prediction.classification.labels}
    return SeenPhoto(labels, embedding, tuple(probability[label] for label in labels))


def _cache_file(root: Path, version: str) -> Path:
    return root / CACHE / f"{path_segment(version)}.npz"


def _lines(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """The objects of a file of JSON lines, each with where it stands."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} cannot be read; expected a folder that `advisor crawl` wrote"
        ) from error
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                value = json.loads(line)
            except ValueError as error:
                raise DataError(f"{path}, line {number}: no JSON: {error}") from error
            if not isinstance(value, dict):
                raise DataError(f"{path}, line {number}: {type(value).__name__}, not an object")
            yield value, f"{path}, line {number}"


def _decided(path: Path) -> Iterator[tuple[str, str, bool]]:
    for line, where in _lines(path) if path.exists() else ():
        one, other, same = (line.get(name) for name in ("one", "other", "same"))
        if not isinstance(one, str) or not isinstance(other, str) or not isinstance(same, bool):
            raise DataError(f'{where}: expected {{"one": ID, "other": ID, "same": true or false}}')
        yield one, other, same


def _item(line: dict[str, Any], where: str, *, shop: str) -> Item:
    try:
        item = Item.from_dict(line).validate()
    except (InvalidItemError, TypeError, AttributeError) as error:
        raise DataError(f"{where}: {error}") from error
    return item if item.shop else replace(item, shop=shop)


def _photo(root: Path, line: dict[str, Any], where: str) -> ShelfPhoto:
    try:
        return ShelfPhoto(line["product_id"], line["image_id"], str(root / line["path"]))
    except (KeyError, TypeError) as error:
        raise DataError(f"{where}: no photo's line: {error}") from error


def _of_known(
    photo: ShelfPhoto, products: Mapping[str, Product], by_sku: Mapping[str, str]
) -> ShelfPhoto:
    """The photo with the id that its product has here.

    Items that name no shop got the folder's name; the photo's line may name another.
    """
    if photo.product_id in products:
        return photo
    sku = photo.product_id.partition(":")[2]
    return replace(photo, product_id=by_sku.get(sku, photo.product_id))


def read_pins(shops: Sequence[ShopFolder]) -> dict[Shelved, str]:
    """What a person said of the shops' categories: DIR/pins.json, {shop: {category: unified}}.

    Raises: DataError if a file is not of that form.
    """
    pins: dict[Shelved, str] = {}
    for shop in shops:
        path = shop.root / PINS
        if path.exists():
            try:
                for name, of_shop in json.loads(path.read_text(encoding="utf-8")).items():
                    pins |= {(name, one): _words(unified) for one, unified in of_shop.items()}
            except (OSError, ValueError, AttributeError) as error:
                raise DataError(
                    f"{path} is not {{shop: {{category: unified}}}}: {error!r}"
                ) from error
    return pins


def _words(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{value!r} is no category")
    return value
