"""TensorBoard is an extra: who asks for it without it learns how to get it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.runner.tensorboard import TensorBoard


def test_without_tensorboard_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(UsageError) as caught:
        TensorBoard(tmp_path / "logs")
    words = str(caught.value)
    assert words.startswith("--tensorboard: ")
    assert "TensorBoard cannot be imported" in words
    assert "expected the extra 'tensorboard' installed" in words
    assert "pip install 'bench-classifiers[tensorboard]'" in words
    assert not (tmp_path / "logs").exists()
