"""Carries out recipes: the trainer, and random changes of batches."""
