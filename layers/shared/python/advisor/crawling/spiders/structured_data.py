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


def json_ld(page: Page) -> tuple[list[Node], int]:
    """The top-level nodes of all JSON-LD blocks, and how many blocks were no JSON.

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
    named = {node["@id"]: node for node in roots if isinstance(node.get("@id"), str)}
    return [_linked(node, named) for node in roots], broken


def microdata(page: Page) -> list[Node]:
    """The top-level items as nodes in JSON-LD's shape: {"@type": "Product", "name": ...}."""
    return [
        _item(page, node, 0)
        for node in page.tree.css("[itemscope][itemtype]")
        if "itemprop" not in node.attributes
    ]


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


def _nodes(data: object, depth: int = 0) -> Iterator[Node]:
    if depth > _MAX_DEPTH:
        return
    if isinstance(data, list):
        for one in data:
            yield from _nodes(one, depth + 1)
    elif isinstance(data, dict):
        yield data
        for key in ("@graph", "mainEntity"):
            yield from _nodes(data.get(key), depth + 1)


def _linked(node: Node, named: dict[str, Node]) -> Node:
    """The node with references one level down replaced by what they name."""

    def target(value: Any) -> Any:
        if isinstance(value, list):
            return [target(one) for one in value]
        if isinstance(value, dict) and set(value) == {"@id"}:
            return named.get(value["@id"], value) if isinstance(value["@id"], str) else value
        return value

    return {name: target(value) for name, value in node.items()}


def _item(page: Page, scope: LexborNode, depth: int) -> Node:
    node: Node = {"@type": (scope.attributes.get("itemtype") or "").split()}
    for prop in _properties(page, scope):
        value = _value(page, prop, depth)
        for name in (prop.attributes.get("itemprop") or "").split():
            node[name] = [*as_list(node.get(name)), value] if name in node else value
    return node


def _properties(page: Page, scope: LexborNode) -> Iterator[LexborNode]:
    """The elements that are properties of this item and of none nested in it, in their order."""
    roots = [scope]
    for name in (scope.attributes.get("itemref") or "").split():
        found = page.tree.css_first(f'[id="{name}"]') if re.fullmatch(r"[\w.:-]+", name) else None
        if found is not None:
            roots.append(found)
    for root in roots:
        stack = [root] if root is not scope else list(_children(root))[::-1]
        while stack:
            node = stack.pop()
            if "itemprop" in node.attributes:
                yield node
            if "itemscope" not in node.attributes:
                stack.extend(list(_children(node))[::-1])


def _children(node: LexborNode) -> Iterator[LexborNode]:
    return node.iter(include_text=False)


def _value(page: Page, prop: LexborNode, depth: int) -> object:
    if "itemscope" in prop.attributes:
        return _item(page, prop, depth + 1) if depth < _MAX_DEPTH else ""
    if prop.attributes.get("content") is not None:
        return prop.attributes["content"]
    attribute = _LINK_ATTRIBUTES.get(prop.tag or "")
    if attribute is None:
        return prop.text(deep=True).strip()
    value = (prop.attributes.get(attribute) or "").strip()
    return page.absolute(value) if attribute in ("href", "src") and value else value
