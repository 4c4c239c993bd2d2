"""Oracle numbers for crates/decompose (ica): scikit-learn's FastICA on sources that were mixed.

    python -m venv venv && venv/bin/pip install numpy scikit-learn
    venv/bin/python benchmarks/oracles/ica.py

Prints the unmixing matrix and the unit columns of the mixing matrix, which the test quotes, rows in
order of the variance that a source writes, the sign such that its third moment is positive. The
samples come from a linear congruence that both sides compute.
"""

import numpy as np
import sklearn
from sklearn.decomposition import FastICA

print("numpy", np.__version__, "scikit-learn", sklearn.__version__)


def mixed(samples, d=5):
    """Source j is a number of -1..1 to the power 2 j + 3; the mixing matrix is a formula."""
    state, x = 12345, np.zeros((samples, d))
    mixing = np.array([[(3 * i + 7 * j + 2 * i * i * j + i * j * j) % 11 - 5.0 for j in range(d)] for i in range(d)])
    for n in range(samples):
        s = np.zeros(d)
        for j in range(d):
            state = (state * 1103515245 + 12345) % 2**31
            s[j] = np.prod([2 * state / 2**31 - 1] * (2 * j + 3))
        x[n] = mixing @ s
    return x.astype(np.float32).astype(np.float64), mixing


x, truth = mixed(1000)
ica = FastICA(whiten="unit-variance", fun="logcosh", tol=1e-13, max_iter=1_000, random_state=0)
sources = ica.fit_transform(x)
lengths = np.linalg.norm(ica.mixing_, axis=0)
order = np.argsort(-lengths)
sign = np.sign((sources**3).sum(0))
print("iterations", ica.n_iter_, "lengths", lengths[order].tolist())
for j in order:
    print((sign[j] * ica.mixing_[:, j] / lengths[j]).tolist())
cosines = np.abs((ica.mixing_ / lengths).T @ (truth / np.linalg.norm(truth, axis=0)))
print("best |cosine| with each true source", cosines.max(0).tolist())
