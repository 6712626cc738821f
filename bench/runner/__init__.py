"""Walks a plan: skips what the store has, runs the rest, keeps an account, reports events."""

from bench.runner.events import Event, Listener
from bench.runner.execute import execute, sources
from bench.runner.run import Run

__all__ = ["Event", "Listener", "Run", "execute", "sources"]
