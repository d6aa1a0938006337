"""How well offers of two shops are matched: precision and recall on listings known to be equal.

`python -m benchmarks.matching` lists the demo goods in two shops, the second with other words,
units, photos and codes, some goods in variants that both shops sell apart, and some codes wrong.
`advisor.catalog.matching.group` joins them; a pair joined is right if both list one variant of
one good. The goods are halved by their SKU: thresholds may be chosen by looking at `tune`; the
figures to be quoted are those of `held-out`, other goods under another seed.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance, ImageOps

from advisor.catalog.matching import Grouping, group
from advisor.crawling.items import Item
from benchmarks.photos import embed
from examples.shops.assortment import Good, gtin13, read_goods
from training.config import DEFAULT_BACKBONE

GOODS: Final = Path("build/goods")
SEEDS: Final = {"tune": 1_000, "held-out": 2_000}
COLOURS: Final = (("red", "blue"), ("black", "white"), ("green", "yellow"))
SIZES: Final = (("S", "L"), ("M", "XL"), ("42", "43"))
# The same measure as two shops write it; each pair of pairs is two variants.
MEASURES: Final = (
    (("240 GB", "240GB"), ("1 TB", "1000 GB")),
    (("27 inch", "68.6 cm"), ('32"', "81 cm")),
    (("500 ml", "0.5 l"), ("750 ml", "75 cl")),
    (("2.5 kg", "5.5 lbs"), ("5 kg", "5000 g")),
)
Vector = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A good as a shop lists it. truth: equal for one variant of one good. how: what was done."""

    item: Item
    truth: str
    photo: str  # a key of the embeddings, "" for none
    how: frozenset[str]


@dataclass
class Score:
    """Pairs of one trial or of all of them, over the two shops."""

    true_pairs: int = 0
    joined: int = 0
    right: int = 0
    missed: Counter[str] = field(default_factory=Counter)
    false: Counter[str] = field(default_factory=Counter)
    listed: Counter[str] = field(default_factory=Counter)
    review: int = 0
    review_right: int = 0
    examples: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The figures."""
        return {
            "pairs that are one product": self.true_pairs,
            "pairs joined": self.joined,
            "precision": round(self.right / max(1, self.joined), 4),
            "recall": round(self.right / max(1, self.true_pairs), 4),
            "pairs to review": self.review,
            "of these one product": self.review_right,
            "recall with review": round((self.right + self.review_right) / self.true_pairs, 4),
            "recall by what was done": {
                how: round(1 - self.missed[how] / count, 3)
                for how, count in sorted(self.listed.items())
            },
            "false by what was done": dict(self.false.most_common()),
        }


def looks(photo: bytes) -> dict[str, bytes]:
    """A product's photo as other shops show it: the same file, and others of the same thing."""
    with Image.open(io.BytesIO(photo)) as opened:
        image = opened.convert("RGB")
    width, height = image.size
    inner = image.crop((width // 12, height // 12, width * 11 // 12, height * 11 // 12))
    tight = image.crop((width // 6, height // 6, width * 5 // 6, height * 5 // 6))
    framed = ImageOps.expand(image, border=width // 5, fill=(235, 238, 240))
    red, green, blue = image.split()
    return {
        "same": photo,
        "re-encoded": _jpeg(image.resize((width * 7 // 10, height * 7 // 10)), 70),
        "cropped": _jpeg(inner, 85),
        "mirrored": _jpeg(ImageEnhance.Brightness(ImageOps.mirror(image)).enhance(0.85), 85),
        "other view": _jpeg(ImageOps.mirror(tight).rotate(4, fillcolor=(240, 240, 240)), 85),
        "framed": _jpeg(framed, 85),
        "tinted": _jpeg(Image.merge("RGB", (blue, red, green)), 85),
    }


def listings(goods: Sequence[Good], rng: random.Random) -> list[Listing]:
    """The goods in two shops, as one draw of the dice has them."""
    found = []
    for good in goods:
        for variant, others in _variants(rng):
            found.append(_in_shop_one(good, variant, rng))
            found.append(_in_shop_two(good, variant, others, goods, rng))
    return found


def score(trial: Sequence[Listing], grouping: Grouping, into: Score) -> None:
    """Count a trial's pairs of one listing of each shop."""
    product = {index: n for n, one in enumerate(grouping.groups) for index in one.members}
    doubtful = {(first, second) for first, second, _ in grouping.doubtful}
    for first, one in enumerate(trial):
        for second in range(first + 1, len(trial)):
            other = trial[second]
            if one.item.shop == other.item.shop:
                continue
            same, joined = one.truth == other.truth, product[first] == product[second]
            how = one.how | other.how
            into.joined += joined
            into.right += joined and same
            if same:
                into.true_pairs += 1
                into.listed.update(how)
            if same and not joined:
                into.missed.update(how)
            if joined and not same:
                into.false.update(how)
                into.examples.append(f"joined: {_text(one)} | {_text(other)}")
            if (first, second) in doubtful and not joined:
                into.review += 1
                into.review_right += same


def run(part: str, *, trials: int, backbone: str, folder: Path = GOODS) -> Score:
    """All trials of a part of the goods."""
    goods = [good for good in read_goods(folder) if _part(good) == part]
    keys, photos = [], []
    for good in goods:
        for look, photo in looks(good.photo.read_bytes()).items():
            keys.append(f"{good.sku} {look}")
            photos.append(photo)
    embeddings = dict(zip(keys, embed(photos, backbone), strict=True))
    total = Score()
    for trial in range(trials):
        listed = listings(goods, random.Random(SEEDS[part] + trial))  # noqa: S311 (no secret)
        score(
            listed,
            group([one.item for one in listed], photo_similarity=_cosines(listed, embeddings)),
            total,
        )
    return total


def _cosines(
    listed: Sequence[Listing], embeddings: dict[str, Vector]
) -> Callable[[int, int], float | None]:
    def cosine(first: int, second: int) -> float | None:
        one, other = listed[first].photo, listed[second].photo
        return float(embeddings[one] @ embeddings[other]) if one and other else None

    return cosine


def _variants(rng: random.Random) -> list[tuple[tuple[str, str, str], str]]:
    """(kind, words in shop one, words in shop two) of each variant that both shops sell."""
    dice = rng.random()
    if dice < 0.45:
        return [(("", "", ""), "")]
    if dice < 0.65:
        kind, pairs = "colour", [(word, word) for word in rng.choice(COLOURS)]
    elif dice < 0.8:
        kind, pairs = "size", [(word, word) for word in rng.choice(SIZES)]
    else:
        kind, pairs = "units", list(rng.choice(MEASURES))
    if rng.random() < 0.3:  # one variant is all there is
        pairs = pairs[:1]
    return [((kind, *pair), "variants" if len(pairs) > 1 else "") for pair in pairs]


def _in_shop_one(good: Good, variant: tuple[str, str, str], rng: random.Random) -> Listing:
    kind, words, _ = variant
    truth = f"{good.sku} {words}"
    item = Item(
        id=truth,
        title=f"{good.name} {words}".strip(),
        category=good.category,
        description="-",
        brand=good.brand if rng.random() < 0.7 else "",
        gtin=gtin13(truth) if rng.random() < 0.6 else "",
        mpn=_mpn(truth) if rng.random() < 0.4 else "",
        shop="one",
    )
    photo = "" if rng.random() < 0.03 else f"{good.sku} same"
    return Listing(
        item=item, truth=truth, photo=photo, how=frozenset({kind or "plain"} | _lacks(item, photo))
    )


def _in_shop_two(
    good: Good,
    variant: tuple[str, str, str],
    sold_apart: str,
    goods: Sequence[Good],
    rng: random.Random,
) -> Listing:
    kind, words, other_words = variant
    truth = f"{good.sku} {words}"
    how = {sold_apart} if sold_apart else set()
    title, done = _retell(good, other_words, rng)
    look = rng.choices(
        ["same", "re-encoded", "cropped", "mirrored", "other view", "framed", "tinted", ""],
        [25, 20, 15, 12, 10, 8, 7 if kind == "colour" else 0, 3],
    )[0]
    photo = f"{good.sku} {look}" if look else ""
    if rng.random() < 0.02:  # a picture of something else, as shops put where they have none
        photo, look = f"{rng.choice(goods).sku} same", "another's photo"
    item = Item(
        id=truth,
        title=title,
        category=good.category,
        description="-",
        brand=good.brand if rng.random() < 0.7 else "",
        gtin=gtin13(truth) if rng.random() < 0.6 else "",
        mpn=_mpn(truth) if rng.random() < 0.4 else "",
        shop="two",
    )
    if rng.random() < 0.03:  # copied from another product's page
        item, done = replace(item, gtin=gtin13(f"{rng.choice(goods).sku} ")), done | {"wrong GTIN"}
    how |= done | {look and f"photo: {look}", kind and f"told: {kind}"} - {""}
    return Listing(item=item, truth=truth, photo=photo, how=frozenset(how | _lacks(item, photo)))


def _retell(good: Good, words: str, rng: random.Random) -> tuple[str, set[str]]:
    """The good's name in the second shop's words, and what was done to it."""
    parts = good.name.split()
    done: set[str] = set()
    if len(parts) > 1 and rng.random() < 0.5:
        parts, done = [f"{parts[-1]},", *parts[:-1]], done | {"reordered"}
    if rng.random() < 0.15:
        at = rng.randrange(len(parts))
        if len(parts[at]) > 5:  # two letters swapped
            word = parts[at]
            parts[at], done = word[:3] + word[4] + word[3] + word[5:], done | {"misspelt"}
    title = " ".join(parts)
    if words:
        before = rng.random() < 0.4
        title = f"{words} {title}" if before else f"{title}, {words}"
    if good.brand and rng.random() < 0.5:
        title, done = f"{good.brand} {title}", done | {"brand in name"}
    if rng.random() < 0.1:
        title, done = (
            f"{title} {rng.choice(['original', 'new', 'deluxe', '2026'])}",
            done | {"one word more"},
        )
    if rng.random() < 0.2:
        title = title.upper()
    return title, done


def _lacks(item: Item, photo: str) -> set[str]:
    return {
        text for text, missing in (("no GTIN", not item.gtin), ("no photo", not photo)) if missing
    }


def _mpn(truth: str) -> str:
    return f"MP{int(hashlib.sha256(truth.encode()).hexdigest()[:6], 16):08d}"


def _part(good: Good) -> str:
    return "tune" if hashlib.sha256(good.sku.encode()).digest()[0] % 2 else "held-out"


def _jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _text(one: Listing) -> str:
    return f"{one.item.title!r} {sorted(one.how)}"


def main() -> None:
    """Print the figures of a part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=sorted(SEEDS), default="held-out")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--backbone", default=DEFAULT_BACKBONE)
    parser.add_argument("--examples", type=int, default=0, help="false matches to show")
    options = parser.parse_args()
    total = run(options.part, trials=options.trials, backbone=options.backbone)
    print(json.dumps({"part": options.part, "trials": options.trials} | total.to_dict(), indent=1))
    for example in total.examples[: options.examples]:
        print(example)


if __name__ == "__main__":
    main()
