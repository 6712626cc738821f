"""Plugins that build networks."""
