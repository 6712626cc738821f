"""Datasets, decoded once into a memory-mapped cache, and the image sets that cells work on."""

from bench.data.cache import cache_folder, prepare
from bench.data.image_sets import ImageSet, Prepared

__all__ = ["ImageSet", "Prepared", "cache_folder", "prepare"]
