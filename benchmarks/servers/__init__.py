"""The servers under test, each a program of its own that prints one JSON line when it listens."""
