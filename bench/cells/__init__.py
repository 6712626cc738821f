"""What each kind of cell does. The kinds do not import each other."""
