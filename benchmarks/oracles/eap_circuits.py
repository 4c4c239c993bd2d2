"""Circuits as EAP-IG (Hanna et al. 2024) saves them: fixtures of crates/describe.

    python benchmarks/oracles/eap_circuits.py FLYROOM EAP_IG MODEL OUT

EAP_IG is the folder of github.com/hannamw/EAP-IG (commit 795f560 was used; it imports matplotlib), MODEL the
folder that transformer_lens_model.py wrote, OUT crates/describe/tests/it/mib. The peer's own code makes the graph,
scores it by EAP with resampling, takes the 20 best edges, and saves `circuit.json` and `circuit.pt`; before that
`ranking.json`, in which no edge is in the graph. Clean and corrupted inputs and the answers are those of flyroom's
induction task, so that flyroom's `eap` describes the same. TransformerLens 3.9.0.

The peer adds up loss gradients times (corrupted - clean); with minus the logit difference as the loss this is
flyroom's gradient times (clean - corrupted). Both average over inputs. Its graph wants cuda by name and strings
with a tokenizer: here tensors stay on the CPU and tokens are given as they are.
"""

import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
flyroom, eap_ig, folder, out = Path(sys.argv[1]).resolve(), sys.argv[2], Path(sys.argv[3]).resolve(), Path(sys.argv[4])
sys.path[0] = str(Path(eap_ig) / "src")  # instead of this folder, whose statistics hides Python's
import numpy as np  # noqa: E402
import torch  # noqa: E402
from eap import attribute as eap  # noqa: E402
from eap.graph import Graph  # noqa: E402
from transformer_lens import HookedTransformer, HookedTransformerConfig  # noqa: E402

TASK = ["vocab=8", "seq=9", "period_min=3", "period_max=6"]
zeros = torch.zeros
torch.zeros = lambda *size, device=None, **more: zeros(*size, **more)
eap.tokenize_plus = lambda model, tokens: (tokens, None, torch.full((len(tokens),), tokens.shape[1]), tokens.shape[1])


def run(*args):
    made = subprocess.run([flyroom, *map(str, args), "--quiet"], cwd=work, check=True, capture_output=True)
    return made.stdout.decode()


with tempfile.TemporaryDirectory() as work:
    sets = [word for s in TASK for word in ("--set", s)]
    run("import", "transformer-lens", folder, "--organism", "induction", *sets, "--out", ".")
    run("export", "imported-0", "--for", "npz", "--out", "task.npz")
    task = dict(np.load(Path(work) / "task.npz"))

cfg = json.loads((folder / "cfg.json").read_text())
cfg |= {"dtype": torch.float32, "attn_scale": float(cfg["attn_scale"]), "initializer_range": 0.0}
cfg |= {"use_attn_result": True, "use_split_qkv_input": True, "use_hook_mlp_in": True}
model = HookedTransformer(HookedTransformerConfig.from_dict(cfg))
model.load_state_dict(torch.load(folder / "model.pt"))

clean, corrupted = torch.from_numpy(task["inputs"]), torch.from_numpy(task["corrupted"])
shape = (*clean.shape, model.cfg.d_vocab_out)
one_hot = [torch.nn.functional.one_hot(torch.from_numpy(task[k]), shape[-1]) for k in ("answers", "corrupted_answers")]
direction = (one_hot[0] - one_hot[1]) * torch.from_numpy(task["counts"])[..., None]
differs = direction.abs().sum((1, 2)) > 0


def loss(logits, clean_logits, lengths, direction):
    return -(logits * direction).sum()


graph = Graph.from_model(model)
batch = (clean[differs], corrupted[differs], direction[differs].float())
eap.attribute(model, graph, [batch], loss, "EAP", quiet=True)
out.mkdir(parents=True, exist_ok=True)
graph.to_json(out / "ranking.json")
graph.apply_topn(20, True)
graph.to_json(out / "circuit.json")
graph.to_pt(out / "circuit.pt")
with torch.no_grad():
    m = float((model(batch[0]) * batch[2]).sum() / len(batch[0]))
print(f"{int(differs.sum())} pairs, m(N) {m:.4f}, {len(graph.edges)} edges, scores up to "
      f"{float(graph.scores.abs().max()):.4f}, {graph.count_included_edges()} kept")
