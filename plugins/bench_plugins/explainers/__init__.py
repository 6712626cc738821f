"""Plugins that say which pixels a prediction rests on."""
