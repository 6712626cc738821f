"""Models, variants and claims compared: every difference is tested."""
