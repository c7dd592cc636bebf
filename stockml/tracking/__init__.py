"""MLflow: runs, models, aliases, retention, the served model. Never here: decisions."""
