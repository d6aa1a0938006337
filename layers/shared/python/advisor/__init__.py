"""Products Advisor: crawl shops, classify photos, compare prices."""
