"""Adapters, a folder a port. Each folder's `__init__.py` holds the port's Protocol and `open(url)`."""
