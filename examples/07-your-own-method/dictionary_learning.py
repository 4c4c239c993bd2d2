"""Dictionary learning (Mairal et al. 2009) by scikit-learn: python dictionary_learning.py IN OUT."""

import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from sklearn.decomposition import MiniBatchDictionaryLearning

given, out = Path(sys.argv[1]), Path(sys.argv[2])
task = json.loads((given / "task.json").read_text())
x = np.load(given / "activations.npz")["activations"].astype(np.float64)
n = task["parameters"].get("n_latents", 4 * task["units"])

model = MiniBatchDictionaryLearning(n, alpha=0.1, max_iter=50, positive_code=True, fit_algorithm="cd",
                                    transform_algorithm="lasso_cd", random_state=task["seed"] % 2**32)
b_dec = np.zeros(x.shape[1])
directions = model.fit(x - b_dec).components_
directions /= np.linalg.norm(directions, axis=1, keepdims=True) + 1e-12

f32 = lambda a: np.ascontiguousarray(a, dtype=np.float32)
save_file({"W_enc": f32(directions.T), "b_enc": f32(np.zeros(n)),
           "W_dec": f32(directions), "b_dec": f32(b_dec)}, out / "sae_weights.safetensors")
(out / "cfg.json").write_text(json.dumps({
    "architecture": "standard", "d_in": x.shape[1], "d_sae": n, "apply_b_dec_to_input": True,
    "normalize_activations": "none", "metadata": {"hook_name": task["site"]}}))
