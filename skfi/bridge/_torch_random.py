"""Global random states of torch and numpy: restored after use, by one thread at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import Any

import numpy as np
import torch

# Threads that overlap would each restore what the other one has drawn.
_lock = RLock()


@contextmanager
def random_state_kept(devices: Sequence[Any] = ()) -> Iterator[None]:
    """Restore torch's random states, of the CPU and of CUDA devices, where they changed."""

    def states() -> list[torch.Tensor]:
        return [torch.get_rng_state(), *map(torch.cuda.get_rng_state, devices)]

    with _lock:
        before = states()
        try:
            yield
        finally:
            if not all(map(torch.equal, before, states())):
                torch.set_rng_state(before[0])
                for device, state in zip(devices, before[1:], strict=True):
                    torch.cuda.set_rng_state(state, device)


@contextmanager
def seeded(seed: int, device: Any) -> Iterator[None]:
    """Seed torch's and numpy's global generators, and restore them afterwards."""
    # None leaves the module where it is, which may be a GPU.
    cuda = device is None or torch.device(device).type == "cuda"
    devices = list(range(torch.cuda.device_count())) if cuda else []
    with random_state_kept(devices):
        # skorch's splitter draws from numpy's global generator, as scikit-learn's do.
        before = np.random.get_state()  # noqa: NPY002
        try:
            # torch.manual_seed seeds every device, those included that are not put back.
            (torch.manual_seed if devices else torch.default_generator.manual_seed)(seed)
            np.random.seed(seed)  # noqa: NPY002
            yield
        finally:
            np.random.set_state(before)  # noqa: NPY002
