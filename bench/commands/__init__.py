"""What a command or a notebook does in one call; the command line only parses its words."""
