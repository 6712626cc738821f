"""What a network costs: its weights, its size, its work and its time, beside its original's."""

from __future__ import annotations

from bench.api import Metric
from bench_plugins.metrics.families import Quotient, Whole

METRICS: tuple[Metric, ...] = (
    Whole("parameters", "Trainable numbers of the network.", "count", "profile", "lower"),
    Whole("nonzero_parameters", "Those that are not zero.", "count", "profile"),
    Whole("sparsity", "Zeros among Conv and Linear weights.", "share", "profile"),
    Whole(
        "nonzero_macs",
        "Those of macs whose weight is not zero; dense kernels do the others all the same.",
        "count",
        "profile",
    ),
    Whole("size_bytes", "Weights and buffers as a safetensors file.", "bytes", "profile", "lower"),
    Whole("size_compressed_bytes", "The same file, compressed.", "bytes", "profile", "lower"),
    Whole(
        "macs",
        "Multiply-accumulate operations for one image: torch's flop_counter / 2.",
        "count",
        "profile",
        "lower",
    ),
    Quotient(
        "compression_ratio",
        "size_bytes of the model's original over that of the variant.",
        "profile",
        ("size_bytes", "size_bytes"),
    ),
    Quotient(
        "compressed_ratio",
        "The same of size_compressed_bytes: what zeros and coarse weights save on disk.",
        "profile",
        ("size_compressed_bytes", "size_compressed_bytes"),
    ),
    Quotient(
        "theoretical_speed_up",
        "macs of the original over nonzero_macs of the variant: what would be saved if no zero "
        "were multiplied. What was timed is speed_up.",
        "profile",
        ("macs", "nonzero_macs"),
    ),
    Whole(
        "latency_ms",
        "Mean time for one batch; the images lie on the device. See the dimensions batch and "
        "threads.",
        "ms",
        "latency",
        "lower",
    ),
    Whole("latency_ms_std", "Standard deviation over the timed runs.", "ms", "latency"),
    Whole("latency_ms_median", "Median over the timed runs.", "ms", "latency", "lower"),
    Whole("images_per_second", "The batch over its mean time.", "count", "latency", "higher"),
    Whole(
        "busy_elsewhere",
        "Share of the machine's cores that other processes used during the timing.",
        "share",
        "latency",
    ),
    Quotient(
        "speed_up",
        "latency_ms of the model's original over that of the variant, at the same batch.",
        "latency",
        ("latency_ms", "latency_ms"),
    ),
)
