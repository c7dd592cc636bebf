"""The tutorial's recipe and network. Never here: training."""
