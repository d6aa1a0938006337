"""Products of all shops: matching, offers, prices, similar products."""
