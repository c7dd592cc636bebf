"""The command line `stockml`: one module a group of commands."""
