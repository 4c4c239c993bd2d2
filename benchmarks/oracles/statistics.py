"""Oracle numbers for crates/bench/tests/it/statistics.rs.

    pip install scipy scikit-learn && OMP_NUM_THREADS=1 python benchmarks/oracles/statistics.py

Each line is `name value...` as printed by repr, to be copied into the test.
"""

import itertools

import numpy as np
import scipy
from scipy import stats
from sklearn.metrics import roc_auc_score

print("scipy", scipy.__version__, "numpy", np.__version__)


def show(name, *values):
    print(name, *[repr(float(v)) for v in np.ravel(values)])


show("normal_cdf", stats.norm.cdf([-8.0, -4.5, -3.9, -1.96, -0.1, 0.0, 0.7, 2.5, 5.0]))
show("normal_quantile", stats.norm.ppf([1e-12, 1e-4, 0.025, 0.31, 0.5, 0.9, 0.975, 0.9999]))
for df in (1, 2, 3, 6, 7, 30, 101):
    show(f"t_cdf(1.7, {df})", stats.t.cdf(1.7, df))
    show(f"t_quantile(.975, {df})", stats.t.ppf(0.975, df))
show("t_quantile(.9995, 4)", stats.t.ppf(0.9995, 4))

five = np.array([0.91, 0.88, 0.95, 0.79, 0.93])
low, high = stats.t.interval(0.95, len(five) - 1, loc=five.mean(), scale=stats.sem(five))
show("t_interval five", low, high)

for k, n in ((0, 10), (3, 10), (10, 10), (489, 1000)):
    ci = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
    show(f"wilson {k} {n}", ci.low, ci.high)

# BCa on all 5^5 resamples, so that no generator is involved.
skewed = np.array([0.1, 0.15, 0.2, 0.4, 0.9])
theta_hat_b = np.array([np.mean(s) for s in itertools.product(skewed, repeat=5)])
from scipy.stats._resampling import _bca_interval

(a1, a2, _) = _bca_interval((skewed,), lambda x, axis: np.mean(x, axis=axis), axis=-1, alpha=0.025,
                            theta_hat_b=theta_hat_b, batch=None, xp=np)[:3]
show("bca enumerated alphas", a1, a2)
show("bca enumerated", np.percentile(theta_hat_b, a1 * 100), np.percentile(theta_hat_b, a2 * 100))
ten = np.array([0.61, 0.72, 0.77, 0.80, 0.83, 0.85, 0.88, 0.90, 0.93, 0.95])
ends = [stats.bootstrap((ten,), np.mean, n_resamples=10_000, method="BCa", rng=s).confidence_interval for s in range(50)]
show("bca ten, mean of 50 runs, sd of 50 runs", np.mean(ends, axis=0), np.std(ends, axis=0))

d = np.array([0.12, -0.03, 0.2, 0.07, 0.01, 0.15, -0.08])
r = stats.permutation_test((d,), lambda x, axis: np.mean(x, axis=axis), permutation_type="samples", n_resamples=np.inf)
show("permutation paired", r.pvalue)
a, b = [0.1, 0.4, 0.35, 0.8], [0.5, 0.9, 0.75, 0.6, 0.95]
# |difference| one-sided: scipy's own two-sided p doubles the smaller tail, which is another definition.
diff = lambda x, y, axis: np.abs(np.mean(x, axis=axis) - np.mean(y, axis=axis))
r = stats.permutation_test((a, b), diff, permutation_type="independent", n_resamples=np.inf, alternative="greater")
show("permutation independent", r.pvalue)

p = np.array([0.01, 0.02, 0.03, 0.005, 0.2, 0.9])
show("benjamini_hochberg", stats.false_discovery_control(p))

x, y = [1, 2, 2, 3, 4, 4, 4, 5], [2, 1, 3, 3, 5, 4, 4, 4]
show("kendall", stats.kendalltau(x, y).statistic)
show("spearman", stats.spearmanr(x, y).statistic)
score = [0.9, 0.8, 0.8, 0.7, 0.55, 0.5, 0.5, 0.5, 0.3, 0.1]
label = [1, 1, 0, 1, 0, 1, 0, 0, 1, 0]
show("auroc", roc_auc_score(label, score))
show("quantile", np.quantile([3.0, 1.0, 4.0, 1.5, 9.0, 2.6], [0.0, 0.1, 0.5, 0.77, 1.0]))
