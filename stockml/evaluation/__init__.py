"""Metrics, significance, candidates, the gate, the assessment, backtests. Never here: MLflow."""
