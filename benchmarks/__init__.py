"""One command per claim of speed or cost, each beside a peer, ratios in one run."""
