"""Does TransformerLens compute the logits of an exported specimen?

    python benchmarks/exchange/specimen_to_transformer_lens.py FLYROOM WORK

FLYROOM is the binary, WORK an empty folder. Breeds induction networks, with LayerNorm and without, and one that adds
modulo a prime; exports each for TransformerLens (3.9.0 was used) and for numpy; loads the first and compares its
logits on all clean inputs with the logits that flyroom computed. Both compute in float32, so two of them are
further apart than either is from the exact value: TransformerLens also runs in float64 on the same weights. A line a
specimen has the three largest distances, each with its share of the largest logit and the root mean square of all. It fails where ours in float32 is
further from theirs in float64 than 1e-5 of the larger of 1 and the largest logit. Folders of further specimens may follow.
"""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from transformer_lens import HookedTransformer, HookedTransformerConfig

warnings.filterwarnings("ignore")
flyroom, work = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
work.mkdir(parents=True, exist_ok=True)
SPECIMENS = {
    "induction": ["steps=300"],
    "induction norm": ["steps=300", "norm=layer_norm"],
    "induction-1-layer": ["steps=50"],
    "modular-addition-mini": [],
    "induction-compiled": [],
}


def run(*args):
    out = subprocess.run([flyroom, *map(str, args), "--quiet"], cwd=work, check=True, capture_output=True)
    return out.stdout.decode()


def logits(cfg, state, inputs, dtype):
    model = HookedTransformer(HookedTransformerConfig.from_dict(cfg | {"dtype": dtype}))
    missing, unexpected = model.load_state_dict({n: t.to(dtype) for n, t in state.items()}, strict=False)
    buffers = ("mask", "IGNORE", "rotary_sin", "rotary_cos")
    assert not unexpected and all(m.endswith(buffers) for m in missing), (missing, unexpected)
    assert all(p.dtype == dtype for p in model.parameters())
    with torch.no_grad():
        return torch.cat([model(x) for x in inputs.split(256)]).double().numpy()


def compare(name, folder):
    run("export", folder, "--for", "transformer-lens", "--out", f"{name}-tl")
    run("export", folder, "--for", "npz", "--site", "hook_logits", "--out", f"{name}.npz")
    cfg = json.loads((work / f"{name}-tl" / "cfg.json").read_text())
    state = load_file(work / f"{name}-tl" / "model.safetensors")
    arrays = np.load(work / f"{name}.npz")
    inputs = torch.from_numpy(arrays["inputs"])
    ours = arrays["hook_logits"].astype(np.float64)
    theirs, exact = (logits(cfg, state, inputs, d) for d in (torch.float32, torch.float64))
    scale = float(np.abs(exact).max())

    def apart(a, b):
        off = float(np.abs(a - b).max())
        return f"{off:.2g} ({off / scale:.2g}, rms {np.sqrt(np.mean((a - b) ** 2)):.2g})"

    print(f"{name}: norm {cfg['normalization_type']}, {ours.shape} logits up to {scale:.3g}; ours to their float64 "
          f"{apart(ours, exact)}, their float32 to it {apart(theirs, exact)}, ours to their float32 {apart(ours, theirs)}")
    return np.abs(ours - exact).max() <= 1e-5 * max(1.0, scale)


good = True
for label, settings in SPECIMENS.items():
    organism = label.split()[0]
    known = {o["name"]: o for o in json.loads(run("list", "organisms", "--json"))}
    if organism not in known:
        print(f"{organism}: not in this version, left out")
        continue
    sets = [word for s in settings for word in ("--set", s)]
    bred = json.loads(run("breed", organism, *sets, "--out", label.replace(" ", "-"), "--json"))
    good &= compare(label.replace(" ", "-"), bred[0]["path"])
for folder in sys.argv[3:]:
    good &= compare(Path(folder).name, Path(folder).resolve())
sys.exit(0 if good else 1)
