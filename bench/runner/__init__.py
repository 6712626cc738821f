"""Walks a plan: skips what the store has, runs the rest, keeps an account, says how it goes."""

from bench.runner.events import Observer, Silent, Together
from bench.runner.execute import execute, sources
from bench.runner.run import Run

__all__ = ["Observer", "Run", "Silent", "Together", "execute", "sources"]
