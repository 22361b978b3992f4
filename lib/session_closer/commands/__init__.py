"""One small module for each command: its grammar, and what it wishes."""
