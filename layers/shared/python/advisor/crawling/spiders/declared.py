"""Spiders declared in YAML: selectors instead of code. docs/add-a-shop.md shows one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import yaml
from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from advisor.crawling.crawl_settings import checked_setting
from advisor.crawling.currencies import CURRENCIES
from advisor.crawling.items import Item
from advisor.crawling.messages import Page
from advisor.crawling.money import parse_price
from advisor.crawling.spiders.base import MAX_ITEMS, ParsedPage, clean
from advisor.crawling.spiders.vocabulary import availability_of, gtin_of
from advisor.crawling.stages import DEFAULT_STAGES, STAGES, Stage
from advisor.crawling.urls import checked_base_url
from advisor.errors import DataError, SettingsError, UsageError

FIELDS = (
    "id", "title", "category", "description", "images", "price", "currency", "availability",
    "brand", "gtin", "mpn",
)  # fmt: skip
DEFAULTS = ("category", "description", "currency", "availability", "brand")
_MAX_BYTES = 1_000_000
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_RULE = re.compile(r"(?P<css>.*?)(?:@(?P<attribute>[A-Za-z][\w:-]*))?", re.DOTALL)


@dataclass(frozen=True)
class Rule:
    """Where a value stands: a CSS selector, and the attribute to read instead of the text.

    An empty selector is the product's element itself.
    """

    css: str
    attribute: str = ""

    def read(self, scope: LexborNode, *, separator: str = "") -> Iterator[str]:
        """The values of all matches, in the page's order."""
        nodes = scope.css(self.css) if self.css else [scope]
        if self.attribute:
            found = (node.attributes.get(self.attribute) or "" for node in nodes)
        else:
            found = (node.text(deep=True, separator=separator) for node in nodes)
        return (text for text in map(clean, found) if text)


@dataclass(frozen=True, kw_only=True)
class DeclaredSpider:
    """A shop as its file declares it.

    each: the element of one product; "" for the page as a whole. rules: for an item's fields,
    the first that finds something is right; of images, all.
    """

    name: str
    base_url: str
    start: tuple[str, ...] = ("/",)
    follow: tuple[Rule, ...] = (Rule("a", "href"),)
    each: str = ""
    rules: Mapping[str, tuple[Rule, ...]]
    defaults: Mapping[str, str] = field(default_factory=dict)
    image_base: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    stages: tuple[Stage, ...] = DEFAULT_STAGES

    @property
    def start_urls(self) -> tuple[str, ...]:
        return tuple(urljoin(self.base_url, path) for path in self.start)

    def parse(self, page: Page) -> ParsedPage:
        """See `Spider.parse`. What has neither a title nor an id is no product."""
        links = [link for rule in self.follow for link in rule.read(_root(page))]
        requests = dict.fromkeys(page.absolute(link).partition("#")[0] for link in links)
        scopes = _outermost(page, self.each) if self.each else [_root(page)]
        found = (self._item(page, scope) for scope in islice(scopes, MAX_ITEMS + 1))
        return ParsedPage(
            items=tuple(item for item in found if item.id or item.title),
            requests=tuple(url for url in requests if url),
        )

    def _item(self, page: Page, scope: LexborNode) -> Item:
        read = {name: self._text(scope, name) for name in FIELDS if name != "images"}
        default = self.defaults.get
        money = parse_price(read["price"], currency=read["currency"] or default("currency", ""))
        base = self.image_base or page.base_url
        rules = self.rules.get("images", ())
        images = [page.absolute(src, base) for rule in rules for src in rule.read(scope)]
        return Item(
            id=read["id"],
            title=read["title"],
            category=read["category"] or default("category", ""),
            description=read["description"] or default("description", ""),
            images=tuple(dict.fromkeys(images)),
            url=page.url,
            price_minor=money.minor if money else None,
            currency=money.currency if money else "",
            price_text=money.text if money else "",
            availability=availability_of(read["availability"] or default("availability", "")),
            brand=read["brand"] or default("brand", ""),
            gtin=gtin_of(read["gtin"]),
            mpn=read["mpn"],
        )

    def _text(self, scope: LexborNode, name: str) -> str:
        separator = " " if name == "description" else ""
        for rule in self.rules.get(name, ()):
            if found := next(rule.read(scope, separator=separator), ""):
                return found
        return ""


def load_spider(path: Path, *, base_url: str = "") -> DeclaredSpider:
    """The spider that a file declares; base_url: where the shop is, if not where it says.

    Raises: DataError naming the file, the line and the key that cannot be used.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > _MAX_BYTES:
        raise DataError(f"{path} is larger than {_MAX_BYTES} bytes; expected a spider in YAML")
    values = read_spider(data, source=str(path))
    if base_url:
        values["base_url"] = checked_base_url(base_url)
    return DeclaredSpider(**values)


def read_spider(data: bytes, *, source: str) -> dict[str, Any]:
    """What a file declares, as the fields of a `DeclaredSpider`. source: for errors.

    Raises: DataError naming the line and the key that cannot be used.
    """
    try:
        events = yaml.parse(data, Loader=yaml.SafeLoader)
        alias = next((one for one in events if isinstance(one, yaml.AliasEvent)), None)
        root = None if alias else yaml.compose(data, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = f":{mark.line + 1}" if mark else ""
        raise DataError(f"{source}{at}: no YAML: {error.problem}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise DataError(f"{source}: no YAML: {' '.join(str(error).split())}") from error
    if alias:
        raise DataError(f"{source}: *{alias.anchor} is an alias; expected what it stands for")
    if root is None:
        raise DataError(f"{source} is empty; expected name, base_url and item")
    return _Reader(source).spider(root)


class _Reader:
    """Reads YAML nodes, which know their lines, into checked values."""

    def __init__(self, source: str) -> None:
        self._source = source

    def spider(self, root: yaml.Node) -> dict[str, Any]:
        readers: dict[str, Callable[[yaml.Node, str], Any]] = {
            "name": self._name,
            "base_url": self._base_url,
            "start": self._texts,
            "follow": self._links,
            "item": self._item,
            "defaults": self._defaults,
            "image_base": self._base_url,
            "settings": self._settings,
            "stages": self._stages,
        }
        values = self._mapping(root, "", readers, required=("name", "base_url", "item"))
        item = values.pop("item")
        return {**values, "each": item.pop("each", ""), "rules": item}

    def _mapping(
        self,
        node: yaml.Node,
        key: str,
        readers: Mapping[str, Callable[[yaml.Node, str], Any]],
        *,
        required: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        """Values by key; one that is unknown, twice there or missing is an error."""
        if not isinstance(node, yaml.MappingNode):
            raise self._error(node, key or "the file", f"is no mapping; expected {_list(readers)}")
        values: dict[str, Any] = {}
        for key_node, value in node.value:
            name = str(key_node.value)
            inner = f"{key}.{name}" if key else name
            if name not in readers:
                raise self._error(key_node, inner, f"is no key; expected one of {_list(readers)}")
            if name in values:
                raise self._error(key_node, inner, "is there twice")
            values[name] = readers[name](value, inner)
        for name in required:
            if name not in values:
                raise self._error(node, f"{key}.{name}" if key else name, "is missing")
        return values

    def _name(self, node: yaml.Node, key: str) -> str:
        text = self._text(node, key)
        if not _NAME.fullmatch(text):
            raise self._error(node, key, f"is {text!r}; expected small letters, digits and -")
        return text

    def _base_url(self, node: yaml.Node, key: str) -> str:
        try:
            return checked_base_url(self._text(node, key))
        except UsageError as error:
            raise self._error(node, key, f"is wrong: {error}") from error

    def _item(self, node: yaml.Node, key: str) -> dict[str, Any]:
        readers: dict[str, Callable[[yaml.Node, str], Any]] = dict.fromkeys(FIELDS, self._rules)
        return self._mapping(node, key, {"each": self._css, **readers}, required=("id", "title"))

    def _defaults(self, node: yaml.Node, key: str) -> dict[str, str]:
        values = self._mapping(node, key, dict.fromkeys(DEFAULTS, self._text))
        if values.get("currency", "EUR") not in CURRENCIES:
            raise self._error(node, f"{key}.currency", "is no ISO 4217 code as EUR")
        return values

    def _settings(self, node: yaml.Node, key: str) -> dict[str, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise self._error(node, key, "is no mapping; expected names of settings with values")
        values = {}
        for name_node, value_node in node.value:
            name = str(name_node.value)
            try:
                values[name] = checked_setting(name, self._plain(value_node))
            except SettingsError as error:
                raise self._error(name_node, f"{key}.{name}", f"is wrong: {error}") from error
            except yaml.YAMLError as error:
                raise self._error(name_node, f"{key}.{name}", "is no plain value") from error
        return values

    def _stages(self, node: yaml.Node, key: str) -> tuple[Stage, ...]:
        names = self._texts(node, key)
        for name in names:
            if name not in STAGES:
                raise self._error(node, key, f"names {name!r}; expected some of {_list(STAGES)}")
        return tuple(STAGES[name] for name in names)

    def _links(self, node: yaml.Node, key: str) -> tuple[Rule, ...]:
        return tuple(
            rule if rule.attribute else Rule(rule.css, "href") for rule in self._rules(node, key)
        )

    def _rules(self, node: yaml.Node, key: str) -> tuple[Rule, ...]:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        return tuple(self._rule(one, key) for one in nodes)

    def _rule(self, node: yaml.Node, key: str) -> Rule:
        text = self._text(node, key)
        found = _RULE.fullmatch(text)
        css, attribute = (found["css"].strip(), found["attribute"] or "") if found else (text, "")
        if not _is_css(css) and not (attribute and not css):
            raise self._error(node, key, f"is {text!r}; expected a CSS selector, as h1 or img@src")
        return Rule(css, attribute.lower())

    def _css(self, node: yaml.Node, key: str) -> str:
        text = self._text(node, key)
        if not _is_css(text):
            raise self._error(node, key, f"is {text!r}; expected a CSS selector, as .product")
        return text

    def _texts(self, node: yaml.Node, key: str) -> tuple[str, ...]:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        return tuple(self._text(one, key) for one in nodes)

    def _text(self, node: yaml.Node, key: str) -> str:
        if not isinstance(node, yaml.ScalarNode) or not node.value.strip():
            raise self._error(node, key, "is no text")
        return str(node.value).strip()

    def _plain(self, node: yaml.Node) -> Any:
        return yaml.constructor.SafeConstructor().construct_document(node)

    def _error(self, node: yaml.Node, key: str, why: str) -> DataError:
        return DataError(f"{self._source}:{node.start_mark.line + 1}: {key} {why}")


def _root(page: Page) -> LexborNode:
    root = page.tree.root
    assert root is not None  # noqa: S101 (a parsed document has one, also for no text)
    return root


def _outermost(page: Page, css: str) -> Iterator[LexborNode]:
    """The elements of products, without those within another product."""
    inner: set[int] = set()
    for scope in page.tree.css(css):
        if scope.mem_id not in inner:
            inner.update(one.mem_id for one in scope.css(css))
            yield scope


def _is_css(text: str) -> bool:
    try:
        LexborHTMLParser("").css(text)
    except (SelectolaxError, ValueError):
        return False
    return True


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
