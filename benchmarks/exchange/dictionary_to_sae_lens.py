"""Does SAELens encode as flyroom does, with a dictionary that flyroom trained?

    python benchmarks/exchange/dictionary_to_sae_lens.py FLYROOM WORK

Breeds a specimen, trains a TopK dictionary on it, exports it for SAELens (6.54.12 was used) and
the activations for numpy, and compares what SAELens encodes and reconstructs with the same formula in
numpy's float64: z = ReLU(TopK((x - b_dec) W_enc + b_enc)), on tensors that flyroom wrote. That flyroom itself
computes this formula is a test of crates/decompose. 1e-5 allowed, relative to the largest latent.
"""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import torch

warnings.filterwarnings("ignore")
from sae_lens import SAE  # noqa: E402

flyroom, work = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
work.mkdir(parents=True, exist_ok=True)


def run(*args):
    subprocess.run([flyroom, *map(str, args), "--quiet"], cwd=work, check=True, capture_output=True)


run("breed", "induction-compiled", "--out", ".")
specimen = "induction-compiled-0"
run("decompose", specimen, "--method", "topk", "--set", "steps=300", "--out", "ours")
run("export", specimen, "--for", "saelens", "--from", "ours", "--out", "theirs")
sae = SAE.load_from_disk(work / "theirs")
site = json.loads((work / "theirs" / "cfg.json").read_text())["metadata"]["hook_name"]
run("export", specimen, "--for", "npz", "--site", site, "--out", "x.npz")
x = np.load(work / "x.npz")[site]
x = x.reshape(-1, x.shape[-1])
w = {name: t.detach().numpy().astype(np.float64) for name, t in sae.state_dict().items()}
pre = (x.astype(np.float64) - w["b_dec"]) @ w["W_enc"] + w["b_enc"]
k = sae.cfg.k
largest = np.argsort(-pre, axis=1, kind="stable")[:, :k]
z = np.zeros_like(pre)
np.put_along_axis(z, largest, np.maximum(np.take_along_axis(pre, largest, 1), 0), 1)
with torch.no_grad():
    theirs = sae.encode(torch.from_numpy(x)).numpy()
    back = sae.decode(torch.from_numpy(theirs)).numpy()
# Where the k-th and the next are equal to rounding, either choice is right.
ordered = -np.sort(-pre, axis=1)
clear = ordered[:, k - 1] - ordered[:, k] > 1e-5
off = float(np.abs(theirs - z)[clear].max())
scale = max(1.0, float(np.abs(z).max()))
recon = float(np.abs(back - (z @ w["W_dec"] + w["b_dec"]))[clear].max())
print(f"{type(sae).__name__} at {site}, k {k}: {clear.sum()} of {len(x)} samples, "
      f"latents up to {scale:.3g}, largest difference {off:.3g}, of reconstructions {recon:.3g}")
sys.exit(0 if max(off, recon) <= 1e-5 * scale else 1)
