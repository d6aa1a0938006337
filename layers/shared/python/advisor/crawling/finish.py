"""Why a crawl ended, by name: the `finish_reason` of its statistics and of its run."""

from __future__ import annotations

FINISHED = "finished"  # nothing is left to fetch
LIMIT = "limit"  # as many items as asked for
PAGE_BUDGET = "page budget"
BYTE_BUDGET = "byte budget"
TIME_BUDGET = "time budget"
TOO_FEW_ITEMS = "too few items"  # fewer a minute than asked for
STOPPED = "stopped"  # by a signal, or the run's stop flag
SHOP_DOWN = "shop down"
TURN_OVER = "turn over"  # on AWS: the function's time is up, the token travels on

# What a budget of the run ends; the same crawl goes on where the budget is raised.
BUDGETS = frozenset({LIMIT, PAGE_BUDGET, BYTE_BUDGET})
# After these the crawl is complete: the same command crawls afresh.
COMPLETE = BUDGETS | {FINISHED, TOO_FEW_ITEMS}
