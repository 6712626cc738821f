"""Networks that break one part of their contract, and honest ones that come close."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from examined import network
from torch import Tensor, nn
from torch.nn import functional


class Around(nn.Module):
    """A small network, and what is done to its images before, and its logits after."""

    def __init__(
        self,
        before: Callable[[Tensor], Tensor] | None = None,
        after: Callable[[Tensor], Tensor] | None = None,
        classes: int = 4,
    ) -> None:
        super().__init__()
        self.inner = network(classes)
        self.before, self.after = before or _same, after or _same

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.inner(self.before(x)))


def _same(x: Tensor) -> Tensor:
    return x


# What is no logits


class AveragedSoftmax(nn.Module):
    """Several members, whose probabilities are averaged."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.members = nn.ModuleList(network(classes) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([member(x).softmax(1) for member in self.members]).mean(0)


NO_LOGITS: dict[str, Callable[[], nn.Module]] = {
    "softmax": lambda: Around(after=lambda z: z.softmax(1)),
    "softmax of certain logits": lambda: Around(after=lambda z: (100 * z).softmax(1)),
    "softmax of vague logits": lambda: Around(after=lambda z: (0.01 * z).softmax(1)),
    "averages of softmaxes": AveragedSoftmax,
    "softmax in fp16": lambda: Around(after=lambda z: z.half().softmax(1).float()),
    "rounded softmax": lambda: Around(
        after=lambda z: (p := (3 * z).softmax(1)) + ((100 * p).round() / 100 - p).detach()
    ),
    "per cent": lambda: Around(after=lambda z: 100 * z.softmax(1)),
    "sigmoid": lambda: Around(after=lambda z: (20 * z).sigmoid()),
    "not finite": lambda: Around(after=lambda z: z / 0),
}

# Answers by the batch


class SortedOverBatch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, x: Tensor) -> Tensor:
        logits = self.inner(x)
        return 0.9 * logits + 0.1 * logits.sort(0).values


class StaysInTraining(nn.Sequential):
    """Its BatchNorm never leaves training, and has no running statistics to forget by."""

    def train(self, mode: bool = True) -> StaysInTraining:
        super().train(mode)
        for part in self.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.training = True
        return self


BY_BATCH: dict[str, Callable[[], nn.Module]] = {
    "statistics of the batch": lambda: nn.Sequential(
        nn.BatchNorm2d(3, track_running_stats=False), network()
    ),
    "the batch's mean": lambda: Around(before=lambda x: x - x.mean(0, keepdim=True)),
    "the logits' mean": lambda: Around(after=lambda z: z - z.mean(0, keepdim=True)),
    "sorted": SortedOverBatch,
    "place in the batch": lambda: Around(after=lambda z: z + torch.arange(len(z)).to(z)[:, None]),
    "a sum that goes on": lambda: Around(after=lambda z: z.cumsum(0)),
    "attention over the batch": lambda: Around(after=lambda z: (z @ z.T).softmax(1) @ z),
    "the size of the batch": lambda: Around(after=lambda z: z if len(z) < 16 else z.flip(1)),
    "the contrast of the batch": lambda: Around(before=lambda x: x / x.std()),
    "quantised by the batch": lambda: Around(after=lambda z: 0.7 * z + 0.3 * z.amax(0)),
}

# Answers by history


class Counting(nn.Module):
    """Counts its calls in a buffer; its answers turn after so many, or never."""

    def __init__(self, turns: Callable[[int], bool], plainly: bool = False) -> None:
        super().__init__()
        self.inner, self.turns, self.plainly = network(), turns, plainly
        self.count = 0
        if not plainly:
            del self.count
            self.register_buffer("count", torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        logits = self.inner(x)
        return logits.flip(1) if self.turns(int(self.count)) else logits


class Remembers(nn.Module):
    """Answers what looks like an image that it saw as it answered that."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()
        self.seen: list[tuple[Tensor, Tensor]] = []

    def forward(self, x: Tensor) -> Tensor:
        logits = self.inner(x)
        answers = []
        for image, own in zip(x, logits, strict=True):
            near = [z for other, z in self.seen if (other - image).abs().mean() < 0.05]
            answers.append(near[0] if near else own)
            self.seen.append((image.detach(), own.detach()))
        return torch.stack(answers)


class MovingAverage(nn.Module):
    """Centres by an average that each batch moves."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()
        self.register_buffer("centre", torch.zeros(3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        self.centre = 0.7 * self.centre + 0.3 * x.detach().mean((0, 2, 3))[:, None, None]
        return self.inner(x - self.centre)


class LayerMadeInForward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        self.first = nn.Linear(192, 16)
        return self.head(self.first(x.flatten(1)).relu())


class OwnGenerator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = network()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        noise = torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(self.calls))
        return self.inner(x + 0.5 * noise.to(x))


BY_HISTORY: dict[str, Callable[[], nn.Module]] = {
    "dropout": lambda: Around(after=lambda z: functional.dropout(z, 0.3)),
    "noise": lambda: Around(before=lambda x: x + 0.2 * torch.randn_like(x)),
    "turns after 3 calls": lambda: Counting(lambda n: n > 3),
    "turns after 5000 calls": lambda: Counting(lambda n: n > 5000),
    "turns after 5000 calls, counted plainly": lambda: Counting(lambda n: n > 5000, plainly=True),
    "turns at each 50th call": lambda: Counting(lambda n: n % 50 == 0),
    "remembers": Remembers,
    "moving average": MovingAverage,
    "a generator of its own": OwnGenerator,
}

# Answers by mode


class ByMode(nn.Module):
    def __init__(self, is_other: Callable[[Tensor], bool]) -> None:
        super().__init__()
        self.inner, self.is_other = network(), is_other

    def forward(self, x: Tensor) -> Tensor:
        logits = self.inner(x)
        return logits.flip(1) if self.is_other(x) else logits


BY_MODE: dict[str, Callable[[], nn.Module]] = {
    "gradients on": lambda: ByMode(lambda _: torch.is_grad_enabled()),
    "inference": lambda: ByMode(lambda _: torch.is_inference_mode_enabled()),
    "images require gradients": lambda: ByMode(lambda x: x.requires_grad),
    "images have a history": lambda: ByMode(lambda x: x.grad_fn is not None),
}

# Numbers outside the weights


class PlainList(nn.Module):
    def __init__(self, hold: Callable[[list[nn.Module]], Any] = list) -> None:
        super().__init__()
        self.layers = hold([nn.Linear(192, 16), nn.Linear(16, 16)])
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        held = self.layers.values() if isinstance(self.layers, dict) else self.layers
        for layer in held:
            x = layer(x).relu()
        return self.head(x)


class PlainTensor(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.projection = torch.randn(192, 16) / 14
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head((x.flatten(1) @ self.projection.to(x)).relu())


class Unsaved(nn.Module):
    """A random buffer that is left out of the state dict."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("projection", torch.randn(192, 16) / 14, persistent=False)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head((x.flatten(1) @ self.projection).relu())


class Closed(nn.Module):
    """A layer that only a function knows."""

    def __init__(self) -> None:
        super().__init__()
        first = nn.Linear(192, 16)
        self.first = lambda x: first(x) + 0
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.first(x.flatten(1)).relu())


class ScaleInAList(nn.Module):
    """A parameter that begins as ones, whatever the seed: what it learned is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()
        self.scales = [nn.Parameter(torch.ones(4))]

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * self.scales[0].to(x)


def _forget(_module: nn.Module, state: Any, prefix: str, _metadata: Any) -> None:
    state.pop(f"{prefix}scale")


class Forgetful(nn.Module):
    """Leaves a parameter out of its state dict."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()
        self.scale = nn.Parameter(torch.ones(4))
        self._register_state_dict_hook(_forget)

    def load_state_dict(self, state: Any, strict: bool = True, assign: bool = False) -> Any:
        return super().load_state_dict({**state, "scale": self.scale}, strict, assign)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * self.scale


class DrawnLate(nn.Module):
    """Draws a tensor at its first call, and keeps it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()
        self.kept: dict[str, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        if "noise" not in self.kept:
            self.kept["noise"] = torch.randn(x.shape[1:])
        return self.inner(x + self.kept["noise"].to(x))


class LateLayer(nn.Module):
    """Makes a layer at its first call, and registers it."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        if not hasattr(self, "first"):
            self.first = nn.Linear(192, 16)
        return self.head(self.first(x.flatten(1)).relu())


OUTSIDE: dict[str, Callable[[], nn.Module]] = {
    "plain list": PlainList,
    "plain tuple": lambda: PlainList(tuple),
    "plain dict": lambda: PlainList(lambda layers: dict(enumerate(layers))),
    "plain tensor": PlainTensor,
    "buffer that is not saved": Unsaved,
    "closure": Closed,
    "parameter in a list": ScaleInAList,
    "parameter that is not saved": Forgetful,
    "drawn at the first call": DrawnLate,
    "layer at the first call": LateLayer,
}

# Gradients


class Hooked(nn.Module):
    """Changes the gradient on its way to the pixels, and nothing else."""

    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.inner, self.change = network(), change

    def forward(self, x: Tensor) -> Tensor:
        if x.requires_grad:
            x = x * 1
            x.register_hook(self.change)
        return self.inner(x)


class WrongBackward(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        context.save_for_backward(x)
        return x.tanh()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        (x,) = context.saved_tensors
        return gradient * (x - 2).sign()


class Branches(nn.Module):
    """Two branches, one of which no gradient enters."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.one, self.other, self.share = network(), network(), share

    def forward(self, x: Tensor) -> Tensor:
        return self.share * self.one(x.detach()) + (1 - self.share) * self.other(x)


class Half(nn.Module):
    """Inference code: no gradients inside."""

    def __init__(self, context: Callable[[], Any]) -> None:
        super().__init__()
        self.inner, self.context = network(), context

    def forward(self, x: Tensor) -> Tensor:
        with self.context():
            return self.inner(x).clone()


class EvalOnly(nn.Module):
    """Rounds in eval mode only, so that training went well."""

    def __init__(self, levels: int = 7) -> None:
        super().__init__()
        self.inner, self.levels = network(), levels

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x if self.training else (x * self.levels).round() / self.levels)


class ByPrecision(nn.Module):
    """Lets gradients through in float64 only."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x if x.dtype == torch.float64 else 0.9 * x.detach() + 0.1 * x)


def straight_through(levels: int) -> Callable[[Tensor], Tensor]:
    return lambda x: x + ((x * levels).round() / levels - x).detach()


def masked(*channels: int) -> Callable[[Tensor], Tensor]:
    def mask(gradient: Tensor) -> Tensor:
        kept = torch.zeros_like(gradient)
        kept[:, list(channels)] = gradient[:, list(channels)]
        return kept

    return mask


def rows(gradient: Tensor) -> Tensor:
    kept = gradient.clone()
    kept[:, :, : gradient.shape[2] // 2] = 0
    return kept


MISLEADING: dict[str, Callable[[], nn.Module]] = {
    "no_grad": lambda: Half(torch.no_grad),
    "detached": lambda: Around(before=lambda x: x.detach()),
    "detached branch of nine tenths": lambda: Around(before=lambda x: 0.9 * x.detach() + 0.1 * x),
    "one of two branches": lambda: Branches(0.6),
    "faint": lambda: Hooked(lambda g: 1e-3 * g),
    "next to nothing": lambda: Hooked(lambda g: 1e-30 * g),
    "zero": lambda: Hooked(lambda g: 0 * g),
    "not finite": lambda: Hooked(lambda g: g / 0),
    "reversed": lambda: Hooked(lambda g: -g),
    "sign": lambda: Hooked(lambda g: g.sign()),
    "noise": lambda: Hooked(lambda g: torch.randn_like(g) * g.abs().mean()),
    "one channel": lambda: Hooked(masked(0)),
    "two channels of three": lambda: Hooked(masked(0, 2)),
    "half of the pixels": lambda: Hooked(rows),
    "wrong backward": lambda: Around(before=WrongBackward.apply),
    "right in float64 only": ByPrecision,
    "rounds to 8 levels": EvalOnly,
    "rounds to two levels": lambda: EvalOnly(1),
    "rounds, straight through": lambda: Around(before=straight_through(2)),
    "signs of features": lambda: nn.Sequential(
        *list(network().children())[:5], Signs(), nn.Linear(128, 4)
    ),
}


class Signs(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x - x.mean(1, keepdim=True)).sign()


# Honest ones


class Clipping(nn.Module):
    """Clips what leaves a range that black and white touch, and takes a median of neighbours."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, x: Tensor) -> Tensor:
        x = x.clamp(-2, 2)
        return self.inner(torch.stack([x, x.roll(1, 2), x.roll(1, 3)]).median(0).values)


class InFloat32(nn.Module):
    """Computes its softmax, and all that is before, in float32, whatever it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner.float()(x.float())


class Constants(nn.Module):
    """A mean in a plain tensor, and a list of layers that are registered, too."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.full((3, 1, 1), 0.1)
        self.inner = network()
        self.layers = [*self.inner]
        self.weights = {"head": self.inner[-1].weight}

    def forward(self, x: Tensor) -> Tensor:
        x = x - self.mean.to(x)
        for layer in self.layers:
            x = layer(x)
        return x


def pruned(share: float = 0.95) -> nn.Module:
    made = network(width=32)
    with torch.no_grad():
        for part in made:
            if isinstance(part, nn.Conv2d | nn.Linear):
                size = part.weight.abs()
                part.weight[size < size.flatten().quantile(share)] = 0
    return made


def attention() -> nn.Module:
    """A small transformer over patches."""

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Conv2d(3, 16, 2, 2)
            layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, activation="gelu")
            self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
            self.head = nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.encoder(self.embed(x).flatten(2).transpose(1, 2)).mean(1))

    return Network()


HONEST: dict[str, Callable[[], nn.Module]] = {
    "small": network,
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 4)),
    "log_softmax": lambda: Around(after=lambda z: z.log_softmax(1)),
    "temperature 100": lambda: Around(after=lambda z: z / 100),
    "certain": lambda: Around(after=lambda z: 1e4 * z),
    "certain log-probabilities": lambda: Around(after=lambda z: (1e3 * z).log_softmax(1)),
    "logits above zero": lambda: Around(after=lambda z: z.relu()),
    "logits in [0, 1]": lambda: Around(after=lambda z: 0.5 + z / 20),
    "logits near a half": lambda: Around(after=lambda z: 0.25 + 0.05 * z),
    "centred logits": lambda: Around(after=lambda z: z - z.mean(1, keepdim=True)),
    "instance norm": lambda: nn.Sequential(nn.InstanceNorm2d(3), network()),
    "group norm": lambda: nn.Sequential(nn.GroupNorm(1, 3), network()),
    "median and clipping": Clipping,
    "float32 inside": InFloat32,
    "constants": Constants,
    "95 % pruned": pruned,
    "attention": attention,
    "counter": lambda: Counting(lambda _: False),
    "plain counter": lambda: Counting(lambda _: False, plainly=True),
    "gradients that are detached in a statistic": lambda: Around(
        before=lambda x: x - 0 * x.detach().mean()
    ),
    "ReLU6 and leaky": lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.ReLU6(),
        nn.Conv2d(8, 8, 3),
        nn.LeakyReLU(),
        nn.Flatten(),
        nn.Linear(128, 4),
    ),
}
