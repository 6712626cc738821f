"""What the audit looks for, a function a rule."""
