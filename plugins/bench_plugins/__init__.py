"""The first-party plugins, found through entry points as anybody else's are."""
