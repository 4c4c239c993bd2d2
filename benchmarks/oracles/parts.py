"""Oracle numbers for crates/decompose (pca) and crates/validate (parts, reconstruction).

    python -m venv venv && venv/bin/pip install numpy scipy scikit-learn
    venv/bin/python benchmarks/oracles/parts.py

Prints the numbers that the tests quote. Inputs are given by a formula that both sides compute.
"""

import numpy as np
import scipy
import sklearn
from scipy.integrate import quad
from scipy.optimize import linear_sum_assignment
from scipy.stats import beta
from sklearn.decomposition import PCA
from sklearn.metrics import explained_variance_score

print("numpy", np.__version__, "scipy", scipy.__version__, "scikit-learn", sklearn.__version__)


def formula(rows, cols):
    """x[i] = ((37 i^2 + 11 i) mod 101) / 101 over flat indices: exact in both languages."""
    i = np.arange(rows * cols, dtype=np.int64)
    return (((37 * i * i + 11 * i) % 101) / 101.0).reshape(rows, cols)


print("\nassign: linear_sum_assignment(maximize=True) total")
for rows, cols in [(7, 7), (6, 11), (11, 6), (30, 50)]:
    s = formula(rows, cols)
    r, c = linear_sum_assignment(s, maximize=True)
    print(rows, cols, repr(s[r, c].sum()))

print("\npca: variances (population) and first component of formula(40, 5)")
x = formula(40, 5).astype(np.float32).astype(np.float64)
p = PCA().fit(x)
print((p.explained_variance_ * 39 / 40).tolist())
first = p.components_[0]
print((first * np.sign(first[np.abs(first).argmax()])).tolist())
y = PCA(2).fit(x)
rec = y.inverse_transform(y.transform(x))
print("fvu of 2 components", repr(((x - rec) ** 2).sum() / ((x - x.mean(0)) ** 2).sum()))
ev = explained_variance_score(x, rec, multioutput="variance_weighted")
print("explained variance (variance_weighted)", repr(ev))

print("\nmmcs of random unit vectors, signed cosine: E max of n = 1 - integral of F(t)^n, where")
print("(t + 1) / 2 is Beta((d - 1) / 2, (d - 1) / 2); and by simulation (mean, standard error)")
rng = np.random.default_rng(0)
for d, n in [(2, 5), (10, 40), (64, 256)]:
    law = beta((d - 1) / 2, (d - 1) / 2)
    for times in [1, 2, 8]:
        exact = 1 - quad(lambda t: law.cdf((t + 1) / 2) ** (times * n), -1, 1, limit=200)[0]
        best = []
        for _ in range(2000 if d < 64 else 200):
            w = rng.normal(size=(times * n, d))
            best.append((w[:, 0] / np.linalg.norm(w, axis=1)).max())
        print(d, n, times, exact, np.mean(best), np.std(best) / np.sqrt(len(best)))
