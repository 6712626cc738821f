"""A defense that does nothing, by a name that a compressor has too."""

from __future__ import annotations

from bench.api import Shield


class TwoFaced(Shield):
    """Stand before the classifier, and do nothing."""

    def defend(self, classifier, members, *, seed):
        """Return it."""
        return classifier
