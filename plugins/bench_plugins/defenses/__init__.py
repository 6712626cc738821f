"""Plugins that make a variant of a model hold out better."""
