"""Plugins that read labelled images."""
