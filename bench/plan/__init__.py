"""From a suite to its cells, in an order in which parents come first. No torch is imported."""

from bench.plan.build import build
from bench.plan.plan import Plan, Status, Step, status, statuses

__all__ = ["Plan", "Status", "Step", "build", "status", "statuses"]
