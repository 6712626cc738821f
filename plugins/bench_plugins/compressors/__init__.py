"""First-party compressors: reductions of a network, and the fine-tuning after them."""
