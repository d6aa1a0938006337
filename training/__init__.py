"""Training: from photos by category to a model bundle."""
