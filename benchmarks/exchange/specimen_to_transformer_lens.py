"""Does TransformerLens compute the logits of an exported specimen?

    python benchmarks/exchange/specimen_to_transformer_lens.py FLYROOM WORK

FLYROOM is the binary, WORK an empty folder. Breeds an induction network, one with LayerNorm, and one
that adds modulo a prime; exports each for TransformerLens (3.9.0 was used) and for numpy; loads the first
and compares its logits on all inputs of the second with the logits that flyroom computed (1e-5 allowed,
relative to the largest). Folders of further specimens may follow. Prints one line a specimen and fails where one is over.
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
    "modular-addition-mini": ["steps=200"],
    "induction-compiled": [],
}


def run(*args):
    out = subprocess.run([flyroom, *map(str, args), "--quiet"], cwd=work, check=True, capture_output=True)
    return out.stdout.decode()


def compare(name, folder):
    run("export", folder, "--for", "transformer-lens", "--out", f"{name}-tl")
    run("export", folder, "--for", "npz", "--site", "hook_logits", "--out", f"{name}.npz")
    cfg = json.loads((work / f"{name}-tl" / "cfg.json").read_text())
    model = HookedTransformer(HookedTransformerConfig.from_dict(cfg))
    state = load_file(work / f"{name}-tl" / "model.safetensors")
    missing, unexpected = model.load_state_dict(state, strict=False)
    buffers = ("mask", "IGNORE", "rotary_sin", "rotary_cos")
    assert not unexpected and all(m.endswith(buffers) for m in missing), (missing, unexpected)
    arrays = np.load(work / f"{name}.npz")
    with torch.no_grad():
        theirs = model(torch.from_numpy(arrays["inputs"])).numpy()
    ours = arrays["hook_logits"]
    off = float(np.abs(theirs - ours).max())
    scale = float(np.abs(ours).max())
    norm = cfg["normalization_type"]
    print(f"{name}: norm {norm}, {ours.shape} logits up to {scale:.3g}, largest difference {off:.3g}")
    return off <= 1e-5 * max(1.0, scale)


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
