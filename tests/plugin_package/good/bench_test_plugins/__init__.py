"""Plugins of a package of its own: good ones, and ones that misbehave."""
