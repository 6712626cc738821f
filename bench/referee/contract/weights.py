"""The check that a model's weights decide its function, and no number beside them.

This room knows where a module may hold tensors. It does not know how weights are read.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import nn

from bench.classifier.classifier import Classifier
from bench.errors import BenchError
from bench.records import JSON
from bench.referee.contract.answers import (
    FEW,
    Check,
    apart,
    ask,
    differs,
    filled,
    found,
    largest,
    share_in_words,
)
from bench.tensors import Images

NESTED = 4
"""How deep lists, functions and objects are looked into."""

REGISTERED = frozenset({"_parameters", "_buffers", "_modules"})
"""Where torch keeps what a state dict holds."""

ATOMS = (type, types.ModuleType, str, bytes, int, float, torch.dtype, torch.device)
"""What holds no tensors of its own."""

NAMED = 3
"""How many names an error lists."""


def weights(
    make: Callable[[], Classifier],
    rebuild: Callable[[], Classifier] | None,
    images: Images,
    held: frozenset[str] | None = None,
    *,
    repeats: bool = True,
) -> Check:
    """Check that the numbers in the weights file are all that a model computes with.

    The network is built again from another seed, and given the same weights: what answers
    otherwise computes with numbers that were drawn when it was built. Then it is looked into, for
    parameters that its state dict does not have and that change its answers; where it cannot be
    built again, for tensors of any kind. At last, a forward may add no weights to the state dict.

    Args:
        make: returns the model without its shields, as it was before any question.
        rebuild: returns the same built from another seed; None where that cannot be.
        images: a few.
        held: the names of the weights in the file; None: those of the network as it is.
        repeats: whether it answers the same when it is asked again; else two builds say nothing.

    Source: the definition of a state dict: what :meth:`torch.nn.Module.state_dict` saves is what
        registered parameters and persistent buffers hold.

    """
    shown = filled(images, FEW)
    known = make()
    names = set(known.network.state_dict()) if held is None else held
    first = ask(known, shown)
    if added := sorted(set(known.network.state_dict()) - names):
        words = f"makes weights in its forward that no weights file holds: {_listed(added)}"
        return Check("weights", "violated", words, {"n": FEW, "added": len(added)})
    again, why = _again(rebuild)
    shares = (
        torch.zeros(1) if again is None or not repeats else apart(first, ask(again, shown, seed=1))
    )
    figures: dict[str, JSON] = {"n": FEW, "built again": largest(shares), "cannot": why}
    if differs(shares):
        beside = sorted(outside(known.network, of_any_kind=True))
        more = f"; outside its state dict it holds {_listed(beside)}" if beside else ""
        words = (
            "computes with numbers that are in no weights file: built again from another seed, "
            f"with the same weights, it answers otherwise, {share_in_words(shares)}{more}"
        )
        return Check("weights", "violated", words, figures)
    used = _used(known, shown, of_any_kind=again is None)
    words = f"computes with numbers that are in no weights file: {_listed(used)}"
    return found("weights", words, {**figures, "outside": len(used)}, is_violated=bool(used))


def _again(rebuild: Callable[[], Classifier] | None) -> tuple[Classifier | None, str]:
    """Build a model again; or say why that cannot be."""
    if rebuild is None:
        return None, "it was given as an object"
    try:
        return rebuild(), ""
    except BenchError as error:
        return None, str(error).partition("\n")[0]


def _used(classifier: Classifier, images: Images, *, of_any_kind: bool) -> list[str]:
    """Name the tensors outside the state dict that change the answers when they change."""
    used = []
    before = ask(classifier, images)
    for name, tensor in sorted(outside(classifier.network, of_any_kind=of_any_kind).items()):
        kept = tensor.detach().clone()
        noise = torch.rand(kept.shape, generator=torch.Generator().manual_seed(3)).to(kept)
        try:
            tensor.data.add_((noise - 0.5) * (1 + kept.abs()))
            if (apart(before, ask(classifier, images)) > 0).any():
                used.append(name)
        finally:
            tensor.data.copy_(kept)
    return used


def outside(module: nn.Module, *, of_any_kind: bool) -> dict[str, torch.Tensor]:
    """Return the floating-point tensors that a module can reach and its state dict does not hold.

    Looked into are the attributes of its parts, lists, tuples, dicts and sets, functions (what
    they close over and their defaults), partial functions, modules that are not registered, and
    plain objects.

    Args:
        module: to look into.
        of_any_kind: whether plain tensors count, rather than parameters and what requires
            gradients only. A constant, as a mean, may be a plain tensor: its source gives it.

    """
    state = [value for value in module.state_dict().values() if isinstance(value, torch.Tensor)]
    places = {_place(tensor) for tensor in (*state, *module.buffers())}
    held: dict[str, torch.Tensor] = {}
    known: set[int] = set()
    seen = {id(part) for part in module.modules()}
    reached = [
        *module.named_parameters(),
        *(
            pair
            for name, part in module.named_modules()
            for key, value in _own(part)
            for pair in _tensors(value, f"{name}.{key}" if name else key, seen, NESTED)
        ),
    ]
    for path, tensor in reached:
        is_learned = isinstance(tensor, nn.Parameter) or tensor.requires_grad
        is_known = id(tensor) in known or _place(tensor) in places or tensor.numel() == 0
        if not is_known and tensor.is_floating_point() and (of_any_kind or is_learned):
            known.add(id(tensor))
            held[path] = tensor
    return held


def _own(part: nn.Module) -> Iterator[tuple[str, object]]:
    """Yield what a part holds beside what is registered: attributes, and globals of its forward."""
    yield from ((key, value) for key, value in vars(part).items() if key not in REGISTERED)
    forward = getattr(type(part), "forward", None)
    if isinstance(forward, types.FunctionType) and not type(part).__module__.startswith("torch."):
        known = forward.__globals__
        yield from ((name, known[name]) for name in forward.__code__.co_names if name in known)


def _place(tensor: torch.Tensor) -> tuple[str, int]:
    """Return where a tensor's numbers lie: views of weights lie where those do."""
    try:
        return str(tensor.device), tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):  # sparse tensors, and others without a storage
        return "", id(tensor)


def _tensors(
    value: object, where: str, seen: set[int], depth: int
) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors within a value, each with its path; nothing is looked into twice."""
    if isinstance(value, torch.Tensor):
        yield where, value
        return
    if depth == 0 or id(value) in seen or isinstance(value, ATOMS):
        return
    seen.add(id(value))
    if isinstance(value, nn.Module):
        for name, held in (*value.named_parameters(), *value.named_buffers()):
            yield f"{where}.{name}", held
    for name, inner in _within(value):
        yield from _tensors(inner, f"{where}{name}", seen, depth - 1)


def _within(value: object) -> Iterator[tuple[str, object]]:
    """Yield what a value holds, each with how it is reached."""
    if isinstance(value, Mapping):
        yield from ((f"[{key!r}]", inner) for key, inner in value.items())
    elif isinstance(value, Sequence | set | frozenset):
        yield from ((f"[{place}]", inner) for place, inner in enumerate(value))
    elif isinstance(value, functools.partial):
        yield from ((".func", value.func), (".args", value.args), (".keywords", value.keywords))
    elif isinstance(value, types.MethodType):
        yield from (("", value.__func__), ("", value.__self__))
    elif isinstance(value, types.FunctionType):
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        yield from ((f" of {name}", _content(cell)) for name, cell in cells)
        yield from (("", default) for default in value.__defaults__ or ())
    elif hasattr(value, "__dict__"):
        own = ((key, inner) for key, inner in vars(value).items() if key not in REGISTERED)
        yield from ((f".{key}", inner) for key, inner in own)


def _content(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # it was never filled
        return None


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
