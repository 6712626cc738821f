"""Pages for people, rendered from the store."""
