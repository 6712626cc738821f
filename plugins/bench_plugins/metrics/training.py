"""What a training took."""

from __future__ import annotations

from bench_plugins.metrics.families import Whole

METRICS = (
    Whole("training_seconds", "Time of all epochs.", "seconds", "train", "lower"),
    Whole("kept_epoch", "The epoch whose weights were kept.", "count", "train"),
    Whole(
        "peak_memory_bytes",
        "Most that tensors of one training step hold at once, counted: weights, gradients, the "
        "optimizer's state, activations of a batch. On two devices, two figures.",
        "bytes",
        "train",
        "lower",
    ),
)
