"""The order in which things happen, and the branches."""
