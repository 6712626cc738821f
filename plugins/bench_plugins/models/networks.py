"""The networks of the first-party models.

This room is torch code only. It knows nothing of plugins, files or training; the modules of the
plugins import it when a network is built, so that they can be listed without torch.
"""

from __future__ import annotations

from torch import Tensor, nn

from bench.errors import UsageError
from bench.tensors import Images, Logits

SMALLEST = 16
"""Below 16 pixels a side, two halvings leave less than a map of 4 x 4: SimpleCNN's 4 x 4 grid would
hold repeated values, and ResNetSmall's last stage would see little but padding."""


def require_size(where: str, image_shape: tuple[int, int, int]) -> None:
    """Refuse images that are too small for these networks.

    Args:
        where: the model's name.
        image_shape: (channel, height, width).

    Raises:
        UsageError: where a side is under 16 pixels.

    """
    _, height, width = image_shape
    if min(height, width) < SMALLEST:
        raise UsageError.of(
            f"model {where}",
            f"got images of {height} x {width} pixels",
            f"{SMALLEST} x {SMALLEST} or larger",
            "give the dataset a larger 'size:'",
        )


class SimpleCNNNetwork(nn.Module):
    """Three blocks of convolution, batch normalisation and ReLU, and three linear layers.

    Each convolution pads, so that only the two max-pools halve; an adaptive average pool then makes
    4 x 4 of any size.
    """

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_block(channels, 32),
            nn.MaxPool2d(2),
            *_block(32, 64),
            nn.MaxPool2d(2),
            *_block(64, 128),
            nn.AdaptiveAvgPool2d(4),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(128 * 4 * 4, 256),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(256, classes),
        )

    def forward(self, images: Images) -> Logits:
        """Map normalised images to logits."""
        logits: Tensor = self.classifier(self.features(images))
        return logits


def _block(inputs: int, outputs: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    return nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut; 1 x 1 and normalised where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu2 = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, maps: Tensor) -> Tensor:
        """Map (image, inputs, height, width) to (image, outputs, ...), sides divided by stride."""
        residual = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(maps)))))
        joined: Tensor = self.relu2(residual + self.shortcut(maps))
        return joined


class ResNetSmallNetwork(nn.Module):
    """A residual network for small images: a stem that keeps the size, then three stages of two."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()
        )
        self.stages = nn.Sequential(_stage(64, 64, 1), _stage(64, 128, 2), _stage(128, 256, 2))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(256, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Images) -> Logits:
        """Map normalised images to logits."""
        logits: Tensor = self.classifier(self.pool(self.stages(self.stem(images))).flatten(1))
        return logits


def _stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(BasicBlock(inputs, outputs, stride), BasicBlock(outputs, outputs, 1))
