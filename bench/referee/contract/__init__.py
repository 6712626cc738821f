"""The model contract: what a model must be for its numbers to mean anything, checked once."""
