"""What a product's name says: its words, and what sets variants apart."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz import fuzz

# Two words are one when they differ by a plural or a typing error ("shoe", "shoes": 89);
# "mint" and "mink" (75) or "table" and "cable" (80) are not.
SAME_WORD = 85
_FILLERS = frozenset(
    {"a", "an", "and", "by", "for", "from", "in", "of", "on", "the", "und", "von", "with"}
)
_SPELLINGS = {"gray": "grey", "colour": "color", "aluminum": "aluminium"}
_COLOURS = frozenset({
    "beige", "black", "blue", "brown", "gold", "green", "grey", "ivory", "mint", "mustard",
    "navy", "olive", "orange", "pearl", "pink", "purple", "red", "rose", "silver", "tan",
    "teal", "turquoise", "violet", "white", "yellow",
})  # fmt: skip
_SIZES = frozenset({"xxs", "xs", "s", "m", "l", "xl", "xxl", "xxxl", "small", "medium", "large"})
# Unit -> (dimension, how many of the dimension's own unit it is).
_UNITS = {
    "mb": ("megabytes", 1), "gb": ("megabytes", 1e3), "tb": ("megabytes", 1e6),
    "mm": ("millimetres", 1), "cm": ("millimetres", 10), "m": ("millimetres", 1e3),
    "in": ("inches", 1), "inch": ("inches", 1), "inches": ("inches", 1), "zoll": ("inches", 1),
    '"': ("inches", 1), "″": ("inches", 1), "”": ("inches", 1),
    "ml": ("millilitres", 1), "cl": ("millilitres", 10), "l": ("millilitres", 1e3),
    "litre": ("millilitres", 1e3), "litres": ("millilitres", 1e3), "liter": ("millilitres", 1e3),
    "mg": ("milligrams", 1), "g": ("milligrams", 1e3), "kg": ("milligrams", 1e6),
    "w": ("watts", 1), "watt": ("watts", 1), "kw": ("watts", 1e3),
    "mah": ("milliampere-hours", 1), "v": ("volts", 1), "hz": ("hertz", 1), "ghz": ("hertz", 1e9),
    "mp": ("megapixels", 1), "pack": ("pieces", 1), "pcs": ("pieces", 1), "pieces": ("pieces", 1),
}  # fmt: skip
_QUANTITY = re.compile(
    r"(?<![\w.,])(\d+(?:[.,]\d+)?)[\s-]*("
    + "|".join(sorted(map(re.escape, _UNITS), key=len, reverse=True))
    + r")(?!\w)"
)
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Name:
    """A product's name, taken apart.

    words: in their order, without the brand, fillers, quantities and codes. traits: what sets
    variants apart, by kind: each dimension with the numbers named ("inches": {"13"}),
    "colour", "size", and "code" for the other words with a digit ("i7", "m185").
    """

    words: tuple[str, ...]
    traits: dict[str, frozenset[str]]

    @property
    def figures(self) -> dict[str, frozenset[str]]:
        """The traits that are numbers and codes (colour and size are among the words, too)."""
        return {kind: said for kind, said in self.traits.items() if kind not in ("colour", "size")}


@lru_cache(maxsize=8192)
def read_name(title: str, brands: frozenset[str]) -> Name:
    """Take a title apart. brands: left out of the words, wherever the title names them."""
    text = fold(title)
    traits: dict[str, set[str]] = {}
    for number, unit in _QUANTITY.findall(text):
        dimension, factor = _UNITS[unit]
        value = float(number.replace(",", ".")) * factor
        traits.setdefault(dimension, set()).add(f"{value:g}")
    words = _words(_QUANTITY.sub(" ", text))
    traits["code"] = {word for word in words if any(char.isdigit() for char in word)}
    words = [word for word in words if word not in traits["code"]]
    words = _without_brands(words, [_words(fold(brand)) for brand in sorted(brands)]) or words
    traits["colour"] = {word for word in words if word in _COLOURS}
    traits["size"] = {word for word in words if word in _SIZES}
    return Name(
        tuple(word for word in words if word not in _FILLERS),
        {kind: frozenset(said) for kind, said in traits.items() if said},
    )


def fold(text: str) -> str:
    """The text in lower case, without accents and apostrophes."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(
        char for char in plain if not unicodedata.combining(char) and char not in "'\u2019"
    )


def name_similarity(one: Name, other: Name) -> float:
    """How alike the two names are, 0..1, whatever the order of their words.

    0 when each says something that the other does not ("grey fabric sofa", "leather sofa";
    "chair mint", "chair mustard"), when their numbers or codes differ, or when one has no
    words: then they may be as alike as they like and are still names of two products.
    """
    if one.figures != other.figures or not one.words or not other.words:
        return 0.0
    if _unsaid(one.words, other.words) and _unsaid(other.words, one.words):
        return 0.0
    return fuzz.token_sort_ratio(" ".join(one.words), " ".join(other.words)) / 100


def variants_differ(one: Name, other: Name) -> bool:
    """Whether the names tell two variants apart: a size, a colour, a capacity that differs.

    A trait that only one of them names tells nothing.
    """
    return any(
        not (said <= other.traits[kind] or other.traits[kind] <= said)
        for kind, said in one.traits.items()
        if kind in other.traits and kind != "code"
    )


def _words(text: str) -> list[str]:
    return [_SPELLINGS.get(word, word) for word in _WORD.findall(text)]


def _without_brands(words: list[str], brands: Iterable[list[str]]) -> list[str]:
    for brand in brands:
        for start in range(len(words) - len(brand) + 1):
            if brand and words[start : start + len(brand)] == brand:
                words = words[:start] + words[start + len(brand) :]
                break
    return words


def _unsaid(words: tuple[str, ...], others: tuple[str, ...]) -> list[str]:
    """The words that the other name does not say."""
    return [
        word
        for word in words
        if not any(word == other or _is_same_word(word, other) for other in others)
    ]


def _is_same_word(one: str, other: str) -> bool:
    return min(len(one), len(other)) >= 4 and fuzz.ratio(one, other) >= SAME_WORD
