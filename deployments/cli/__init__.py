"""The command line `stockml`: one module for each group of commands."""
