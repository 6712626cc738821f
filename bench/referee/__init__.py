"""Judges what plugins return: adversarial images and heatmaps."""
