"""A distribution that offers a name which another one offers too."""
