"""The store: results by the hash of their identity, written once; runs; failures."""

from bench.store.store import DEFAULT, Store
from bench.store.stored import Stored

__all__ = ["DEFAULT", "Store", "Stored"]
