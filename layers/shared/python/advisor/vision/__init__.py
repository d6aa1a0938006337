"""Photos: the one preprocessing, the interpreter, model bundles, the classifier."""
