"""What happens in which order, and the branches."""
