"""Plugins that look for adversarial images."""
