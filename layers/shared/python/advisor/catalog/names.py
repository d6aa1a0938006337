"""What a product's name says: its words, and what sets variants apart."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz import fuzz
from rapidfuzz.distance import OSA

# Two words are one when they differ by a plural or a typing error ("shoe", "shoes": 89);
# "mint" and "mink" (75) or "table" and "cable" (80) are not.
SAME_WORD = 85
_FILLERS = frozenset(
    {"a", "an", "and", "by", "for", "from", "in", "of", "on", "the", "und", "von", "with"}
    | {"new", "neu", "original"}
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
    "in": ("millimetres", 25.4), "inch": ("millimetres", 25.4), "inches": ("millimetres", 25.4),
    "zoll": ("millimetres", 25.4), '"': ("millimetres", 25.4), "″": ("millimetres", 25.4),
    "”": ("millimetres", 25.4), "ft": ("millimetres", 304.8), "feet": ("millimetres", 304.8),
    "ml": ("millilitres", 1), "cl": ("millilitres", 10), "l": ("millilitres", 1e3),
    "litre": ("millilitres", 1e3), "litres": ("millilitres", 1e3), "liter": ("millilitres", 1e3),
    "fl oz": ("millilitres", 29.5735), "lb": ("milligrams", 453592), "lbs": ("milligrams", 453592),
    "oz": ("milligrams", 28349.5),
    "mg": ("milligrams", 1), "g": ("milligrams", 1e3), "kg": ("milligrams", 1e6),
    "w": ("watts", 1), "watt": ("watts", 1), "kw": ("watts", 1e3),
    "mah": ("milliampere-hours", 1), "v": ("volts", 1), "hz": ("hertz", 1), "ghz": ("hertz", 1e9),
    "mp": ("megapixels", 1), "pack": ("pieces", 1), "pcs": ("pieces", 1), "pieces": ("pieces", 1),
}  # fmt: skip
# What one shop measures in inches the other rounds to centimetres ("32 inch": 812.8 mm, "81 cm").
# Pieces and bytes are counted, not measured.
_MEASURED = frozenset({"millimetres", "millilitres", "milligrams"})
_SAME_MEASURE = 0.01
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
    variants apart, by kind: each dimension with the numbers named ("megabytes": {"8000"}),
    "colour", "size", "number" for bare short ones (a shoe's "42"), and "code" for the other
    words with a digit ("i7", "m185").
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
    figures = {word for word in words if any(char.isdigit() for char in word)}
    traits["number"] = {word for word in figures if word.isdecimal() and len(word) <= 3}
    traits["code"] = figures - traits["number"]
    words = [word for word in words if word not in figures]
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
    if not _same_figures(one, other) or not one.words or not other.words:
        return 0.0
    if _unsaid(one.words, other.words) and _unsaid(other.words, one.words):
        return 0.0
    return fuzz.token_sort_ratio(" ".join(one.words), " ".join(other.words)) / 100


def variants_differ(one: Name, other: Name) -> bool:
    """Whether the names tell two variants apart: a size, a colour, a capacity that differs.

    A trait that only one of them names tells nothing.
    """
    return any(
        not (_within(kind, said, other.traits[kind]) or _within(kind, other.traits[kind], said))
        for kind, said in one.traits.items()
        if kind in other.traits and kind != "code"
    )


def is_contained(one: Name, other: Name) -> bool:
    """Whether one name says nothing but what the other says, too ("sofa", "grey fabric sofa")."""
    return not _unsaid(one.words, other.words) or not _unsaid(other.words, one.words)


def share_a_word(one: Name, other: Name) -> bool:
    """Whether a word or a code stands in both names."""
    ours, theirs = (name.words + tuple(name.traits.get("code", ())) for name in (one, other))
    return len(_unsaid(ours, theirs)) < len(ours)


def _same_figures(one: Name, other: Name) -> bool:
    ours, theirs = one.figures, other.figures
    return ours.keys() == theirs.keys() and all(
        _within(kind, said, theirs[kind]) and _within(kind, theirs[kind], said)
        for kind, said in ours.items()
    )


def _within(kind: str, said: frozenset[str], others: frozenset[str]) -> bool:
    """Whether each of these is among the others; measures to one percent."""
    if kind not in _MEASURED:
        return said <= others
    return all(
        any(math.isclose(float(one), float(other), rel_tol=_SAME_MEASURE) for other in others)
        for one in said
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
    if min(len(one), len(other)) < 4 or one[0] != other[0]:
        return False
    swapped = sorted(one) == sorted(other) and OSA.distance(one, other) == 1  # "trpiod"
    return swapped or fuzz.ratio(one, other) >= SAME_WORD
