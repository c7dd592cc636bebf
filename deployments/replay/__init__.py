"""A feed of recorded prices over real HTTP, for first runs and for tests."""
