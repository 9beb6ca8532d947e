"""The demo of the sample jobs, which `make demo` plays; it leaves with them."""
