"""First-party metrics: each file a table of them."""
