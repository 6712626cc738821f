"""bench measures image classifiers: how accurate, and how robust against adversarial attack.

>>> import bench
>>> bench.run("quick").table("success_rate")  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.commands.run import Outcome, open_last, run

__all__ = ["Outcome", "open_last", "run"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in __all__:
        from bench.commands import run as session

        return getattr(session, name)
    raise AttributeError(f"module 'bench' has no attribute '{name}'")
