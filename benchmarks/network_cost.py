"""Cost of FI^util for the paper's CNN on MNIST beside one epoch of its training.

Run ``make bench-networks``; ``SKFI_DATA`` names a folder with ``mnist.npz`` (without one,
random images of the same shape are used, and said so: time does not depend on what is on
them). Scores are timed with an epoch before and after each, in one process with the same
threads, so that a machine that slows down slows both; peak memory is read beside the limit
it was given. It exits with 1 where the last layer takes more than an epoch, all parameters
more than 30, or any more memory than that.
"""

from __future__ import annotations

import argparse
import os
import platform
import threading
import time
from pathlib import Path

import numpy as np
import sklearn
import skorch
import torch
from sklearn import config_context
from torch import nn

from skfi import fi_util
from skfi.bridge import SkorchClassifier

ROOT = Path(__file__).resolve().parent.parent

# In epochs of training. Nine double backward passes a row took 23 epochs (with GELU); the rest
# is room for a busy machine.
LIMITS = {"last layer, features": 1.0, "all parameters, input, K-FAC": 30.0}


def paper_cnn(width: int = 256, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Table 6 of the paper."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, stride=2, padding=1),
        activation(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1),
        activation(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(64 * 7 * 7, width),
        activation(),
        nn.Linear(width, 10),
    )


def load(n: int) -> tuple[str, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """n training and 2,000 validation images with their labels."""
    path = Path(os.environ.get("SKFI_DATA", ROOT.parent / "shared" / "data")) / "mnist.npz"
    if path.exists():
        with np.load(path) as file:
            parts = [file[k] for k in ("X_train", "y_train", "X_test", "y_test")]
        X, y, V, w = parts[0][:n], parts[1][:n], parts[2][:2000], parts[3][:2000]
        name = "MNIST"
    else:
        rng = np.random.default_rng(0)
        X, V = (rng.integers(0, 256, (k, 28, 28), dtype=np.uint8) for k in (n, 2000))
        y, w = rng.integers(0, 10, n), rng.integers(0, 10, 2000)
        name = "random images (mnist.npz is missing)"
    X, V = (part[:, None].astype(np.float32) / 255 for part in (X, V))
    return name, X, y.astype(np.int64), V, w.astype(np.int64)


class PeakMemory:
    """Highest resident memory while it runs, above what there was before, in MiB."""

    def __enter__(self):
        self.before, self.peak, self.on = resident(), 0.0, True
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def _watch(self):
        while self.on:
            self.peak = max(self.peak, resident() - self.before)
            time.sleep(0.02)

    def __exit__(self, *error):
        self.on = False
        self.thread.join()


def resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--width", type=int, default=256, help="of the hidden linear layer")
    parser.add_argument("--activation", default="ReLU", help="name of a class in torch.nn")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--working-memory", type=int, default=512, help="MiB")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    name, X, y, V, w = load(arguments.rows)
    net = skorch.NeuralNetClassifier(
        paper_cnn(arguments.width, getattr(nn, arguments.activation)),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        batch_size=128,
        max_epochs=arguments.epochs,
        iterator_train__shuffle=True,
        train_split=None,
        device=arguments.device,
        verbose=0,
    )
    model = SkorchClassifier(net, random_state=0).fit(X, y)
    beside = SkorchClassifier(net, random_state=0).fit(X[:1000], y[:1000])  # trained in turn

    def epoch() -> float:
        beside.net_.partial_fit(X, y, epochs=1)
        return beside.history[-1, "dur"]

    m = sum(p.numel() for p in model.module_.parameters())
    print(
        f"{name}, {len(X):,} rows, the CNN of Table 6 ({m:,} parameters, "
        f"{arguments.activation}), batches of 128, "
        f"{torch.get_num_threads()} threads, {arguments.device}; seed 0; Python "
        f"{platform.python_version()}, torch {torch.__version__}, skorch {skorch.__version__}, "
        f"scikit-learn {sklearn.__version__}, numpy {np.__version__}, {platform.machine()}"
    )
    print(f"accuracy on the validation rows {model.score(V, w):.4f}")
    print(f"{'scores':<44} {'seconds':>8} {'epochs':>7} {'peak MiB':>9}")
    cases = {
        "last layer, features": {},
        "last layer, features, exact Hessian": {"curvature": "exact"},
        "last layer, input, K-FAC": {"perturbation": "input", "curvature": "kfac"},
        "all parameters, input, K-FAC": {"params": "all", "perturbation": "input"},
    }
    epochs, over = [epoch()], []
    for label, options in cases.items():
        with config_context(working_memory=arguments.working_memory), PeakMemory() as memory:
            start = time.perf_counter()
            scores, details = fi_util(model, X, y, V, w, return_details=True, **options)
            seconds = time.perf_counter() - start
        assert np.isfinite(scores).all()
        epochs.append(epoch())
        ratio = 2 * seconds / sum(epochs[-2:])
        if ratio > LIMITS.get(label, np.inf) or memory.peak > arguments.working_memory:
            over.append(label)
        print(
            f"{label:<44} {seconds:8.1f} {ratio:7.2f} {memory.peak:9.0f}   "
            f"({details.curvature}, damping {details.damping:.2g}, gradient "
            f"{details.gradient_norm:.2g})",
            flush=True,
        )
    print("epochs beside them took " + ", ".join(f"{seconds:.1f}" for seconds in epochs) + " s")
    if over:
        raise SystemExit(f"over a limit: {', '.join(over)}")


if __name__ == "__main__":
    main()
