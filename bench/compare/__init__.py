"""Models, variants and claims compared: every difference tested before it is called one."""
