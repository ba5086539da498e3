"""
Which rows to label next
========================

Thirty digits are labelled, some five hundred are not, and somebody has time for ten.
``FIActiveSampler`` asks for rows whose prediction hangs on details of the labelled set. Where
do these rows lie, and are they ten different rows? ``FIEmbedding`` has coordinates for that,
and ``QueryDisplay`` draws the pool in them.
"""

# %%
# Threes, eights and nines
# ------------------------

import matplotlib.pyplot as plt
import numpy as np
from scipy.spatial.distance import pdist
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from skfi import FIActiveSampler, FIEmbedding
from skfi.inspection import QueryDisplay

X, y = load_digits(return_X_y=True)
rows = np.random.default_rng(0).permutation(np.flatnonzero(np.isin(y, (3, 8, 9))))
X, y = X[rows] / 16, y[rows]
X_labelled, y_labelled, X_pool = X[:30], y[:30], X[30:]

# %%
# Two ways to ask
# ---------------
# The default sets FI against the margin (the flip ratio), and spreads the batch among the
# best rows. Beside it, in the manner of the paper, are the rows of the highest FI itself.

model = LogisticRegression(max_iter=1000)
ways = {
    "default: flip ratio, spread out": FIActiveSampler(model, batch_size=10, random_state=0),
    "highest FI": FIActiveSampler(
        model, batch_size=10, utility="fi", selection="top", aggregate="mean", random_state=0
    ),
}
embedding = FIEmbedding(model).fit(X_labelled, y_labelled)
for name, sampler in ways.items():
    asked = X_pool[sampler.fit(X_labelled, y_labelled).query(X_pool)]
    two = np.sort(sampler.estimator_.predict_proba(asked), axis=1)[:, -2:]
    alike = 1 - pdist(embedding.transform(asked), "cosine")
    print(f"{name}\n  mean margin of the prediction:        {np.diff(two).mean():.2f}")
    print(f"  mean distance of two rows, in pixels: {pdist(asked).mean():.2f}")
    print(f"  mean cosine of two rows, by FI:       {alike.mean():.2f}")

# %%
# By their pixels both batches are about as mixed. In the embedding of FI they are not: two of
# the rows with the highest FI often point the same way, which is to ask the same thing twice.


def draw(projection):
    fig, axes = plt.subplots(
        1, 2, figsize=(7, 4.3), sharex=True, sharey=True, layout="constrained"
    )
    for ax, (name, sampler) in zip(axes, ways.items(), strict=True):
        display = QueryDisplay.from_estimator(
            sampler, X_pool, X_labelled, y_labelled, projection=projection, ax=ax,
            legend=False, colorbar=False,  # one of each serves both panels
        )  # fmt: skip
        ax.set_title(name, fontsize=11)
    axes[1].set_ylabel("")
    fig.colorbar(display.pool_, ax=axes, label="rank of the score in the pool")
    handles, names = axes[0].get_legend_handles_labels()
    fig.legend(
        handles, names, loc="outside lower center", ncols=5, frameon=False, fontsize=9.5,
        columnspacing=1.0, handletextpad=0.2,
    )  # fmt: skip
    plt.show()


# %%
# In the embedding of FI
# ----------------------
# A row's squared distance from the origin is its FI, and rows in the same direction hang on
# the same moves of the labelled rows; two coordinates show a part of it. Most labelled rows
# and much of the pool sit near the origin: no small move of the labelled rows changes what is
# predicted there. The highest FI is found far out, in bunches. The default asks in all
# directions, nearer by too, where the margin is small.

draw(embedding)
first = embedding.explained_variance_ratio_[:2].sum()
print(f"of the mean FI, two of {embedding.n_components_} coordinates show {first:.0%}")

# %%
# In principal components
# -----------------------
# The same batches, drawn by the pixels alone. Those of the highest FI are nearly all on one
# side, where the eights are, and the default reaches into the others as well. Bunches are
# hard to see here: principal components know nothing of the model, and have room for little
# more of the pixels' variance.

pca = PCA(2, random_state=0).fit(X_pool)
draw(pca)
print(f"of the variance, two components show {pca.explained_variance_ratio_.sum():.0%}")

# %%
# The pictures say where a batch lies, not whether it was worth its labels: that takes a
# learning curve over repeats
# (:ref:`sphx_glr_auto_examples_advanced_plot_learning_curves.py`).
