"""Examples that the demo and the tests run against."""
