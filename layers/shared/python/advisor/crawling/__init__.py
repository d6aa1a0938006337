"""The crawl: spiders, polite fetching, frontier, item pipelines, the crawl loop."""
