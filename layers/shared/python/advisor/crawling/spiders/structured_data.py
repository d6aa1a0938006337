"""schema.org data of a page as plain dicts, from JSON-LD and from microdata. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from selectolax.lexbor import LexborNode

from advisor.crawling.messages import Page
from advisor.crawling.text import plain_text

Node = dict[str, Any]
_WRAPPING = re.compile(r"^\s*(<!--|//\s*<!\[CDATA\[|<!\[CDATA\[)|(-->|//\s*\]\]>|\]\]>)\s*$")
_LINK_ATTRIBUTES = {
    "a": "href", "area": "href", "link": "href", "img": "src", "audio": "src", "embed": "src",
    "iframe": "src", "source": "src", "track": "src", "video": "src", "object": "data",
    "data": "value", "meter": "value", "time": "datetime", "meta": "content",
}  # fmt: skip
# ogp.me, and what Facebook's catalog reads; the first of several names is right.
_OPEN_GRAPH = {
    "og:title": "name", "og:description": "description", "og:image": "image",
    "product:price:amount": "price", "og:price:amount": "price",
    "product:price:currency": "priceCurrency", "og:price:currency": "priceCurrency",
    "product:availability": "availability", "og:availability": "availability",
    "product:retailer_item_id": "sku", "product:retailer_part_no": "sku",
    "product:brand": "brand", "og:brand": "brand", "product:category": "category",
    "product:mfr_part_no": "mpn", "product:gtin": "gtin", "product:ean": "gtin",
    "product:upc": "gtin",
}  # fmt: skip
_OFFER = frozenset({"price", "priceCurrency", "availability"})
_MAX_DEPTH = 50  # deeper nesting is an attack or a mistake
_MAX_VALUES = 100_000  # of JSON-LD looked at for nodes
# References make more of a page than it holds: nodes that name a large one, or each other.
_MAX_REFERRED = 1_000_000  # characters of JSON that references to nodes stand for
_MAX_STEPS = 200_000  # through the elements of a page's microdata


def json_ld(page: Page) -> tuple[list[Node], int]:
    """The top-level nodes of all JSON-LD blocks, and how many blocks were no JSON or too much.

    Arrays, @graph and a page's mainEntity are opened; {"@id": ...} stands for the node it names.
    """
    roots: list[Node] = []
    broken = 0
    for script in page.tree.css("script"):
        kind = (script.attributes.get("type") or "").partition(";")[0].strip().lower()
        if kind != "application/ld+json":
            continue
        try:
            data = json.loads(_WRAPPING.sub("", script.text(deep=True)), strict=False)
        except (ValueError, RecursionError):
            broken += 1
            continue
        roots.extend(_nodes(data))
    references = _References(roots)
    nodes = [references.resolved_in(node) for node in roots]
    return nodes, broken + references.are_too_many


def microdata(page: Page) -> tuple[list[Node], int]:
    """The top-level items as nodes in JSON-LD's shape, {"@type": "Product", "name": ...}.

    And 1 where the page holds more than is read, else 0.
    """
    items = _Microdata(page)
    nodes = [
        items.read(node, 0)
        for node in page.tree.css("[itemscope][itemtype]")
        if "itemprop" not in node.attributes
    ]
    return nodes, int(items.is_too_much)


def open_graph(page: Page) -> list[Node]:
    """The product that a page's OpenGraph tags describe, in JSON-LD's shape; else none."""
    tags: dict[str, list[str]] = {}
    for meta in page.tree.css("meta[property][content]"):
        name = (meta.attributes.get("property") or "").strip().lower()
        if name.startswith(("og:", "product:")):
            tags.setdefault(name, []).append(meta.attributes.get("content") or "")
    kinds = tags.get("og:type", [""])[0].lower().split(":")
    if not kinds[-1].startswith("product") or kinds[-1].startswith("product.group"):
        return []
    node: Node = {"@type": "Product", "offers": {}}
    for name, values in tags.items():
        field = _OPEN_GRAPH.get(name)
        if field == "image":
            node.setdefault(field, []).extend(values)
        elif field:
            of = node["offers"] if field in _OFFER else node
            of.setdefault(field, values[0])
    return [node]


def is_a(node: object, kind: str) -> bool:
    """Whether a node has a schema.org type, written as a name, an address, or among several."""
    if not isinstance(node, dict):
        return False
    kinds = node.get("@type")
    return any(
        isinstance(one, str) and one.rstrip("/").rpartition("/")[2].rpartition(":")[2] == kind
        for one in (kinds if isinstance(kinds, list) else [kinds])
    )


def as_list(value: object) -> list[Any]:
    """A value, a list of values or nothing as a list."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def text_of(value: object) -> str:
    """The text of a value that may be text, a number, a node with a name, or a list of them."""
    for one in as_list(value):
        found = one
        if isinstance(one, dict):
            found = one.get("name") or one.get("@value") or ""
        if isinstance(found, str | int | float) and not isinstance(found, bool):
            text = " ".join(plain_text(str(found)).split())
            if text:
                return text
    return ""


def _nodes(data: object) -> Iterator[Node]:
    """The nodes in arrays, @graph and mainEntity, in their order."""
    stack = [(data, 0)]
    for _ in range(_MAX_VALUES):
        if not stack:
            return
        one, depth = stack.pop()
        if isinstance(one, dict):
            yield one
            one = [one.get("@graph"), one.get("mainEntity")]
        if isinstance(one, list) and depth < _MAX_DEPTH:
            stack.extend((each, depth + 1) for each in reversed(one))


class _References:
    """The nodes that {"@id": ...} may stand for."""

    def __init__(self, nodes: list[Node]) -> None:
        self._named = {node["@id"]: node for node in nodes if isinstance(node.get("@id"), str)}
        self._sizes: dict[str, int] = {}
        self._left = _MAX_REFERRED

    @property
    def are_too_many(self) -> bool:
        """Whether some were left as they are."""
        return self._left < 0

    def resolved_in(self, node: Node) -> Node:
        """The node with references one level down replaced by what they name."""
        return {name: self._target(value) for name, value in node.items()}

    def _target(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._target(one) for one in value]
        if isinstance(value, dict) and set(value) == {"@id"}:
            return self._named_by(value)
        return value

    def _named_by(self, reference: Node) -> Node:
        name = reference["@id"]
        if not isinstance(name, str) or name not in self._named:
            return reference
        if name not in self._sizes:
            self._sizes[name] = len(json.dumps(self._named[name]))
        self._left -= self._sizes[name]
        return self._named[name] if self._left >= 0 else reference


class _Microdata:
    """Reads the microdata of one page, in a bounded number of steps."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._left = _MAX_STEPS

    @property
    def is_too_much(self) -> bool:
        """Whether the steps are used up."""
        return self._left <= 0

    def read(self, scope: LexborNode, depth: int) -> Node:
        """An item in JSON-LD's shape; less of it where the steps are used up."""
        node: Node = {"@type": (scope.attributes.get("itemtype") or "").split()}
        values: dict[str, list[object]] = {}
        for prop in self._properties(scope):
            value = self._value(prop, depth)
            self._left -= len(value) // 100 if isinstance(value, str) else 0
            for name in (prop.attributes.get("itemprop") or "").split():
                values.setdefault(name, []).append(value)
        return node | {name: of if len(of) > 1 else of[0] for name, of in values.items()}

    def _properties(self, scope: LexborNode) -> Iterator[LexborNode]:
        """The elements that are properties of this item and of none nested in it, in order."""
        for root in self._roots(scope):
            stack = [root] if root is not scope else list(_children(root))[::-1]
            while stack and self._left > 0:
                self._left -= 1
                node = stack.pop()
                if "itemprop" in node.attributes:
                    yield node
                if "itemscope" not in node.attributes:
                    stack.extend(list(_children(node))[::-1])

    def _roots(self, scope: LexborNode) -> Iterator[LexborNode]:
        yield scope
        for name in (scope.attributes.get("itemref") or "").split():
            self._left -= 100  # about what looking through a page's elements costs
            if self._left <= 0:
                return
            if re.fullmatch(r"[\w.:-]+", name) and (
                found := self._page.tree.css_first(f'[id="{name}"]')
            ):
                yield found

    def _value(self, prop: LexborNode, depth: int) -> object:
        if "itemscope" in prop.attributes:
            return self.read(prop, depth + 1) if depth < _MAX_DEPTH else ""
        if prop.attributes.get("content") is not None:
            return prop.attributes["content"]
        attribute = _LINK_ATTRIBUTES.get(prop.tag or "")
        if attribute is None:
            return prop.text(deep=True).strip()
        value = (prop.attributes.get(attribute) or "").strip()
        return self._page.absolute(value) if attribute in ("href", "src") and value else value


def _children(node: LexborNode) -> Iterator[LexborNode]:
    return node.iter(include_text=False)
