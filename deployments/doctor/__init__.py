"""`stockml doctor`: what could keep tonight's run from working, and what to do about it. Changes nothing."""

from deployments.doctor.checks import examine
from deployments.doctor.kept import Check

__all__ = ["Check", "examine"]
