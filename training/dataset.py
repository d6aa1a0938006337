"""The photos to learn from: a folder of category folders, as a crawl or a person leaves it."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from advisor.errors import DataError
from advisor.naming import label_of
from advisor.vision.images import read_file
from training.split import Side

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".avif"})
PRODUCTS = "photos.jsonl"
MAX_LABELS = 1_000  # a table of ten thousand by ten thousand would measure, and help, nobody


@dataclass(frozen=True, kw_only=True, slots=True)
class PhotoFile:
    """A photo of the folder. product_id: "" if not known.

    inside: its path in the folder, with slashes. shop_label: what the folder says where a person
    corrected the label, else "".

    content: sha256 of its bytes, where that is known before they are read. origin: an S3 prefix
    that it is fetched from when somebody reads it, "" where it lies in the folder.

    side: what it is for, where it lies in a folder of validation or test photos, or a manifest
    says so; None where the split does.
    """

    folder: Path  # one for all photos: a path of its own would take more than all else
    inside: str
    label: str
    product_id: str = ""
    shop_label: str = ""
    content: str = ""
    origin: str = ""
    side: Side | None = None

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.folder / self.inside

    @property
    def name(self) -> str:
        """Its path in the folder, after its side if it only measures; no UTF-8 as `\\udcXX`."""
        name = _text(self.inside)
        return f"{self.side.value}/{name}" if self.side and self.measures else name

    @property
    def measures(self) -> bool:
        """Whether it is for validation or test alone, so that it teaches nothing."""
        return self.side in {Side.VALIDATION, Side.TEST}

    def read(self) -> bytes:
        """Its bytes.

        Raises: OSError if they cannot be read, UnreadableImageError if they are more than a photo
            may have: a film of gigabytes is not read.
        """
        if self.origin and not self.path.is_file():
            from advisor.aws.prefixes import fetch  # noqa: PLC0415 (boto3, only for S3)

            fetch(f"{self.origin}/{self.inside}", self.path, home=self.folder.parent)
        return read_file(self.path)

    def hash(self) -> str:
        """sha256 of its bytes, hexadecimal.

        Raises: OSError if they cannot be read.
        """
        if self.content:
            return self.content
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    @property
    def shop(self) -> str:
        """The shop that it comes from, "" if not known."""
        return self.product_id.partition(":")[0]


def scan(folder: Path, side: Side | None = None) -> list[PhotoFile]:
    """Every file that is named like a photo, in category folders, at any depth, sorted by name.

    side: what all of them are for, if that is given.
    Files beside the category folders, hidden ones, and others than photos are passed over.
    Raises: DataError if the folder does not exist, or holds no photo in a category folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; expected one with a folder of photos per category")
    products = read_product_ids(folder)
    photos = [
        PhotoFile(
            folder=folder,
            inside=inside,
            label=label,
            product_id=products.get(_text(inside), ""),
            side=side,
        )
        for category in folder.iterdir()
        if category.is_dir() and not category.name.startswith(".")
        for label in [one_line(label_of(category.name))]
        for path in category.rglob("*")
        if path.suffix.lower() in PHOTO_SUFFIXES and path.is_file()
        for inside in [path.relative_to(folder).as_posix()]
        if not any(part.startswith(".") for part in inside.split("/"))
    ]
    if not photos:
        raise DataError(
            f"{folder} holds no photo in a category folder; "
            f"expected CATEGORY/PHOTO with one of {', '.join(sorted(PHOTO_SUFFIXES))}"
        )
    return sorted(photos, key=lambda photo: photo.name)


def read_product_ids(folder: Path) -> dict[str, str]:
    """Which product each photo shows, from the photos.jsonl that a crawl leaves beside it.

    Returns: product_id by the photo's path in the folder; empty without such a file.
    Raises: DataError if a line of it cannot be read.
    """
    file = folder.parent / PRODUCTS
    if not file.is_file():
        return {}
    prefix = f"{folder.name}/"
    products = {}
    # Not splitlines(), nor text: a line may hold U+2028, and be no UTF-8.
    for number, line in enumerate(file.read_bytes().split(b"\n"), start=1):
        if not line:  # after the last, and all there is where nothing was fetched
            continue
        try:
            record = json.loads(line)
            products[str(record["path"]).removeprefix(prefix)] = str(record["product_id"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{file}, line {number} is no record of a photo: {error!r}") from error
    return products


def one_line(label: str) -> str:
    """The label with line breaks and other control characters as spaces: labels.txt has lines.

    All else stays, also what merely shows nothing: joiners make words in Persian, and emoji.
    """
    return "".join(
        " " if unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} else char for char in label
    )


def _text(path: str) -> str:
    """The path without the lone surrogates that stand for bytes that are no UTF-8."""
    return path.encode("utf-8", "backslashreplace").decode()


def split_by_size(
    counts: Mapping[str, int], min_images: int
) -> tuple[tuple[str, ...], dict[str, int]]:
    """Labels with at least min_images photos, sorted, and the others with their counts.

    Raises: DataError if fewer than two labels are left, or more than MAX_LABELS, or two that
        look alike, telling what there was.
    """
    kept = tuple(sorted(label for label, count in counts.items() if count >= min_images))
    pruned = {label: count for label, count in sorted(counts.items()) if count < min_images}
    if len(counts) < 2:
        only = next(iter(counts), "none")
        raise DataError(
            f"only one category with readable photos ({only!r}); at least two are needed"
        )
    _check_names(kept)
    if len(kept) > MAX_LABELS:
        least = sorted(counts.values(), reverse=True)[MAX_LABELS - 1] + 1
        raise DataError(
            f"{len(kept)} categories have at least {min_images} photos; at most {MAX_LABELS} can "
            f"be told apart: --min-images {least} would keep "
            f"{sum(count >= least for count in counts.values())}"
        )
    if len(kept) < 2:
        largest = sorted(counts.values(), reverse=True)
        raise DataError(
            f"{len(kept)} of {len(counts)} categories have at least {min_images} photos "
            f"({_shown(counts)}); two are needed: --min-images {largest[1]} would keep "
            f"{sum(count >= largest[1] for count in largest)}"
        )
    return kept, pruned


def _check_names(labels: Iterable[str]) -> None:
    seen: dict[str, str] = {}
    for label in labels:
        plain = " ".join(unicodedata.normalize("NFC", label).casefold().split())
        other = seen.setdefault(plain, label)
        if other != label:
            raise DataError(
                f"the categories {other!r} and {label!r} differ only in case, spaces or how a "
                "letter is encoded; nobody could tell which of them an answer means: give both one "
                "name"
            )


def held_out_shop(photos: Iterable[PhotoFile], shop: str) -> list[PhotoFile]:
    """The photos of a shop.

    Raises: DataError if there is none, naming the shops that there are.
    """
    photos = list(photos)
    found = [photo for photo in photos if photo.shop == shop]
    if not found:
        shops = ", ".join(sorted({photo.shop for photo in photos} - {""}))
        raise DataError(
            f"no photo is of the shop {shop!r}; "
            + (
                f"the photos are of {shops}"
                if shops
                else f"no {PRODUCTS} says of which shop any is"
            )
        )
    return found


def count_labels(photos: Iterable[PhotoFile]) -> dict[str, int]:
    """How many photos each label has."""
    return dict(Counter(photo.label for photo in photos))


def _shown(counts: Mapping[str, int], most: int = 8) -> str:
    """The largest categories with their counts, for a sentence."""
    largest = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{label} {count}" for label, count in largest[:most])
    return shown if len(largest) <= most else f"{shown}, ..."
