"""
Label digits by hand, the most useful first
===========================================

A loop of one's own around a query strategy, with a person who gives the labels. Each digit is
drawn in the terminal and asked for; "q" stops. Every answer is saved as soon as it is there,
and the next call goes on from it. ``--simulate`` answers with the true labels.

To compare strategies, or to leave the loop to the library, see `active_learning_curve` and
its `oracle` and `checkpoint`.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from skfi import FIActiveSampler

SHADES = " .:-=+*#%@"  # one to a step of light


def make_strategy():
    """Who chooses what is asked: any query strategy fits here."""
    return FIActiveSampler(LogisticRegression(max_iter=1000), random_state=0)


def draw(image):
    """An image of 8×8 pixels in [0, 1] as text."""
    steps = np.rint(image.reshape(8, 8) * (len(SHADES) - 1)).astype(int)
    return "\n".join("    " + "".join(2 * SHADES[step] for step in line) for line in steps)


def ask(image):
    """What the person says the digit is."""
    print(f"\n{draw(image)}\n")
    while True:
        answer = input("Which digit is this (0 to 9, q to stop)? ").strip().lower()
        if answer == "q":
            raise KeyboardInterrupt
        if answer in set("0123456789"):
            return int(answer)


def save(labels, path):
    """Keep the labels; whatever happens on the way, the file is whole."""
    beside = path.with_suffix(".tmp")
    beside.write_text(json.dumps(list(labels.items())))
    os.replace(beside, path)


def main(path, n_initial, batch_size, n_rounds, simulate):
    """Ask, fit, choose; and the same again."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X / 16, y, test_size=0.3, random_state=0)
    # Row -> label, in the order of the answers.
    labels = dict(json.loads(path.read_text())) if path.exists() else {}
    if labels:
        print(f"{len(labels)} labels from {path}")

    def label(rows):
        for row in map(int, rows):
            if row not in labels:
                labels[row] = int(y[row]) if simulate else ask(X[row])
                save(labels, path)

    strategy = make_strategy()
    try:
        label(np.random.default_rng(0).permutation(len(X))[:n_initial])
        while True:
            known = np.array(list(labels))
            strategy.fit(X[known], [labels[row] for row in known])
            fitted = len(strategy.classes_) > 1  # until then it asks at random
            score = strategy.estimator_.score(X_test, y_test) if fitted else np.nan
            print(f"{len(known):>4} labels  test accuracy {score:.3f}")
            if len(known) >= n_initial + n_rounds * batch_size:
                break
            pool = np.setdiff1d(np.arange(len(X)), known)
            # What is left of a batch that was broken off comes first.
            size = batch_size - (len(known) - n_initial) % batch_size
            label(pool[strategy.query(X[pool], batch_size=size)])
    except (KeyboardInterrupt, EOFError):
        print(f"\nStopped. Answered so far: {len(labels)}, kept in {path}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--labels", type=Path, default=Path("labels.json"), help="file to keep")
    parser.add_argument("--initial", type=int, default=10, help="rows drawn at random at first")
    parser.add_argument("--batch", type=int, default=5, help="rows between two fits")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--simulate", action="store_true", help="answer with the true labels")
    options = parser.parse_args()
    main(options.labels, options.initial, options.batch, options.rounds, options.simulate)
