"""What may make training or painting faster on a card, each as a block in which it is on. `bench/card.py` tries them by
turns.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from bench.speed import Bench
from ti_core.models.recompute import keep_all, save_memory
from ti_core.models.stable_diffusion import StableDiffusion

Switch = Callable[[Bench], AbstractContextManager[None]]
WARM_UPS = 3
"""Passes before a graph is captured, as torch's documentation asks for."""


@contextmanager
def nothing(bench: Bench) -> Iterator[None]:
    """As the program is."""
    yield


@contextmanager
def tf32(bench: Bench) -> Iterator[None]:
    """Multiplications of float32 with 10 bits of mantissa, on tensor cores: those of the text encoders."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


@contextmanager
def keeps_all(bench: Bench) -> Iterator[None]:
    """Nothing is computed again for the backward pass: more memory, fewer kernels."""
    keep_all(bench.sd.unet)
    with patch("bench.speed.save_memory", lambda unet: None):
        try:
            yield
        finally:
            save_memory(bench.sd.unet)


@contextmanager
def channels_last(bench: Bench) -> Iterator[None]:
    """The UNet's and the VAE's weights in the order that tensor cores read."""
    networks = bench.sd.unet, bench.sd.vae
    for network in networks:
        network.to(memory_format=torch.channels_last)
    try:
        yield
    finally:
        for network in networks:
            network.to(memory_format=torch.contiguous_format)


@contextmanager
def cudnn_benchmark(bench: Bench) -> Iterator[None]:
    """cuDNN tries its convolutions for each new shape and keeps the fastest."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def _check_triton() -> None:
    """Raises where torch.compile would trace the UNet for a minute to find that it can build no kernels."""
    if importlib.util.find_spec("triton") is None:
        raise RuntimeError("torch.compile needs Triton, which is not installed")


@contextmanager
def compiled_training(bench: Bench) -> Iterator[None]:
    """torch.compile of the UNet, where a gradient is wanted."""
    _check_triton()
    with keeps_all(bench):
        bench.sd.compiled_unet = torch.compile(bench.sd.unet)
        try:
            yield
        finally:
            bench.sd.compiled_unet = None


@contextmanager
def compiled_sampling(bench: Bench) -> Iterator[None]:
    """torch.compile of the UNet for pictures too."""
    _check_triton()
    compiled = torch.compile(bench.sd.unet)
    with _instead_of_the_unet(compiled):
        yield


@contextmanager
def graphs_for_sampling(bench: Bench) -> Iterator[None]:
    """A CUDA graph of the UNet for each size of a batch: one launch for all its kernels."""
    with _instead_of_the_unet(_Graphs(bench.sd.unet)):
        yield


class _Graphs:
    """Called as the UNet; captures a graph for each shape of its input, and plays it."""

    def __init__(self, unet: Any) -> None:
        self.unet = unet
        self.captured: dict[Any, SimpleNamespace] = {}

    def __call__(self, latents: Tensor, timestep: Tensor, states: Tensor, added_cond_kwargs: Any, **_: Any) -> Any:
        given = [latents, timestep, states, *(added_cond_kwargs or {}).values()]
        key = tuple((tensor.shape, tensor.dtype) for tensor in given)
        if key not in self.captured:
            self.captured[key] = self._capture(given, tuple(added_cond_kwargs or ()))
        graph = self.captured[key]
        for there, tensor in zip(graph.given, given, strict=True):
            there.copy_(tensor)
        graph.graph.replay()
        return (graph.out.clone(),)

    def _capture(self, given: list[Tensor], names: tuple[str, ...]) -> SimpleNamespace:
        there = [tensor.clone() for tensor in given]
        added = dict(zip(names, there[3:], strict=True)) or None

        def passed() -> Tensor:
            return self.unet(*there[:3], added_cond_kwargs=added, return_dict=False)[0]

        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                passed()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = passed()
        return SimpleNamespace(given=there, graph=graph, out=out)


@contextmanager
def _instead_of_the_unet(called: Callable[..., Any]) -> Iterator[None]:
    """In `StableDiffusion.predict`, whose other attributes of the UNet stay."""
    predict = StableDiffusion.predict

    def other(sd: StableDiffusion, *given: Any) -> Tensor:
        unet = SimpleNamespace(config=sd.unet.config, dtype=sd.unet.dtype)
        stand_in = _CalledUnet(called, unet)
        with patch.object(sd, "unet", stand_in):
            return predict(sd, *given)

    with patch.object(StableDiffusion, "predict", other):
        yield


class _CalledUnet:
    """What `predict` asks of a UNet."""

    def __init__(self, called: Callable[..., Any], facts: SimpleNamespace) -> None:
        self._called, self.config, self.dtype = called, facts.config, facts.dtype

    def __call__(self, *given: Any, **named: Any) -> Any:
        return self._called(*given, **named)


TRAINING: dict[str, Switch] = {
    "as it is": nothing,
    "TF32": tf32,
    "keep_all": keeps_all,
    "cudnn.benchmark": cudnn_benchmark,
    "channels_last": channels_last,
    "compiled": compiled_training,
}
SAMPLING: dict[str, Switch] = {
    "as it is": nothing,
    "TF32": tf32,
    "cudnn.benchmark": cudnn_benchmark,
    "channels_last": channels_last,
    "CUDA graphs": graphs_for_sampling,
    "compiled": compiled_sampling,
}
