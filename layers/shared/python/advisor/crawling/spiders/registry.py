"""Every spider by name. A new shop is one line here and one module beside."""

from __future__ import annotations

from advisor.crawling.spiders.base import Spider
from advisor.crawling.spiders.harveynorman import HarveyNorman
from advisor.crawling.spiders.schema_org import SchemaOrg
from advisor.crawling.urls import checked_base_url, host_of
from advisor.errors import UnknownSpiderError, UsageError

_DEDICATED = {HarveyNorman.name: HarveyNorman}
_GENERIC = {SchemaOrg.name: SchemaOrg}
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
    raise UnknownSpiderError(f"no spider {name!r}; expected one of {', '.join(NAMES)}")


def shop_name(spider: Spider, given: str = "") -> str:
    """What the shop is called in items: the name given, the spider's own, or the host's."""
    return given or (spider.name if spider.name in _DEDICATED else _host_name(spider.base_url))


def _host_name(base_url: str) -> str:
    return host_of(base_url).replace(":", "-")
