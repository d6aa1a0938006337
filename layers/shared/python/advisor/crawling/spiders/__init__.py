"""The spiders, one module a shop, and the registry that names them."""
