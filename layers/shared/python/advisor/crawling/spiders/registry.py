"""Every spider by name. A new shop is a YAML file beside, or a module and one line here."""

from __future__ import annotations

from pathlib import Path

from advisor.crawling.spiders.base import Spider
from advisor.crawling.spiders.harveynorman import HarveyNorman
from advisor.crawling.spiders.schema_org import SchemaOrg
from advisor.crawling.urls import checked_base_url, host_of
from advisor.errors import DataError, UnknownSpiderError, UsageError

_DEDICATED = {HarveyNorman.name: HarveyNorman}
_GENERIC = {SchemaOrg.name: SchemaOrg}
FOLDER = Path(__file__).parent  # shops declared in YAML lie here too, as <name>.yaml
GENERIC = tuple(_GENERIC)  # read any shop: they must be told where
NAMES = (*_DEDICATED, *_GENERIC)


def make_spider(name: str, base_url: str = "") -> Spider:
    """The spider of a name, for the shop at base_url ("": the spider's own shop).

    Raises: UnknownSpiderError naming the known ones; UsageError for a base URL that is none, or
        that is missing where the spider has no shop of its own.
    """
    base = checked_base_url(base_url) if base_url else ""
    if name in _DEDICATED:
        return _DEDICATED[name](base) if base else _DEDICATED[name]()
    if name in _GENERIC:
        if not base:
            raise UsageError(f"spider {name!r} reads any shop: tell which with a base URL")
        return _GENERIC[name](base)
    declared = {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}
    if name in declared:
        return _declared(declared[name], base)
    known = ", ".join([*NAMES, *declared])
    raise UnknownSpiderError(f"no spider {name!r}; expected one of {known}, or a .yaml file")


def open_spider(name: str, base_url: str = "") -> Spider:
    """The spider of a name, or the one that a YAML file declares; for command lines.

    Raises: as `make_spider`; DataError for a file that declares none.
    """
    if not name.lower().endswith((".yaml", ".yml")):
        return make_spider(name, base_url)
    spider = _declared(Path(name), base_url)
    if spider.name in NAMES:
        raise DataError(f"{name}: name {spider.name!r} is that of another spider")
    return spider


def _declared(path: Path, base_url: str) -> Spider:
    from advisor.crawling.spiders.declared import load_spider  # noqa: PLC0415 (YAML, on demand)

    spider = load_spider(path, base_url=base_url)
    if path.parent == FOLDER and spider.name != path.stem:
        raise DataError(
            f"{path}: name is {spider.name!r}; expected {path.stem!r}, as the file is called"
        )
    return spider


def shop_name(spider: Spider, given: str = "") -> str:
    """What the shop is called in items: the name given, the spider's own, or the host's.

    Raises: UsageError for a name with a ":", which parts it from the SKU in a product's id.
    """
    if ":" in given or not given.isprintable():
        raise UsageError(f"shop {given!r}: a shop's name is one line of text without ':'")
    return given or (_host_name(spider.base_url) if spider.name in _GENERIC else spider.name)


def _host_name(base_url: str) -> str:
    return host_of(base_url).replace(":", "-")
