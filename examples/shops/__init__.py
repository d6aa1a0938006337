"""Two demo shops on loopback over real goods: `goods` fetches them, `serve` serves them."""
