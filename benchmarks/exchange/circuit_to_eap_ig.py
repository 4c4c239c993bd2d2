"""Does EAP-IG load a circuit that flyroom wrote, and does it score the edges as flyroom does?

    python benchmarks/exchange/circuit_to_eap_ig.py FLYROOM EAP_IG WORK

EAP_IG is the folder of github.com/hannamw/EAP-IG (commit 795f560 was used; it imports matplotlib). Breeds networks that
add modulo 59 (200 steps) and imports the small model of benchmarks/oracles/transformer_lens_model.py, describes each with
`eap` on all pairs, exports the circuit for MIB and the network for TransformerLens, loads the first with the peer's
Graph.from_json and lets its own code score the second on the same inputs. Prints the largest difference of the scores
that were written and loaded, of the two scores (1e-3 of the largest allowed), and how many edges either keeps.
"""

import json
import subprocess
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
flyroom, eap_ig, work = Path(sys.argv[1]).resolve(), sys.argv[2], Path(sys.argv[3])
sys.path[0] = str(Path(eap_ig) / "src")
import numpy as np  # noqa: E402
import torch  # noqa: E402
from eap import attribute as eap  # noqa: E402
from eap.graph import Graph  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from transformer_lens import HookedTransformer, HookedTransformerConfig  # noqa: E402

model_folder = Path(__file__).resolve().parents[2] / "crates/organism/tests/transformer_lens"
work.mkdir(parents=True, exist_ok=True)
# The peer's graph wants cuda by name, and strings with a tokenizer.
zeros = torch.zeros
torch.zeros = lambda *size, device=None, **more: zeros(*size, **more)
eap.tokenize_plus = lambda model, tokens: (tokens, None, torch.full((len(tokens),), tokens.shape[1]), tokens.shape[1])


def run(*args):
    made = subprocess.run([flyroom, *map(str, args), "--quiet"], cwd=work, check=True, capture_output=True)
    return made.stdout.decode()


def loss(logits, clean_logits, lengths, direction):
    return -(logits * direction).sum()


def compare(specimen, pairs):
    run("describe", specimen, "--method", "eap", "--set", f"pairs={pairs}", "--out", "eap.json")
    run("export", specimen, "--for", "mib", "--from", "eap.json", "--out", "circuit.json")
    run("export", specimen, "--for", "transformer-lens", "--out", "tl")
    run("export", specimen, "--for", "npz", "--out", "task.npz")
    task = dict(np.load(work / "task.npz"))
    cfg = json.loads((work / "tl" / "cfg.json").read_text())
    cfg |= {"use_attn_result": True, "use_split_qkv_input": True, "use_hook_mlp_in": True}
    model = HookedTransformer(HookedTransformerConfig.from_dict(cfg))
    model.load_state_dict(load_file(work / "tl" / "model.safetensors"), strict=False)

    written = json.loads((work / "circuit.json").read_text())
    loaded = Graph.from_json(str(work / "circuit.json"))
    assert set(written["edges"]) == set(loaded.edges), "not the same edges"
    kept = {n for n, e in written["edges"].items() if e["in_graph"]}
    assert kept == {n for n, e in loaded.edges.items() if e.in_graph}, "not the same circuit"
    off = max(abs(e["score"] - loaded.edges[n].score.item()) for n, e in written["edges"].items())

    one_hot = [torch.nn.functional.one_hot(torch.from_numpy(task[k]), cfg["d_vocab_out"]) for k in ("answers", "corrupted_answers")]
    direction = (one_hot[0] - one_hot[1]) * torch.from_numpy(task["counts"])[..., None]
    differs = direction.abs().sum((1, 2)) > 0
    clean, corrupted = torch.from_numpy(task["inputs"]), torch.from_numpy(task["corrupted"])
    graph = Graph.from_model(model)
    data = list(zip(*(t.split(512) for t in (clean[differs], corrupted[differs], direction[differs].float()))))
    eap.attribute(model, graph, data, loss, "EAP", quiet=True)
    theirs = {n: e.score.item() for n, e in graph.edges.items()}
    largest = max(map(abs, theirs.values()))
    apart = max(abs(theirs[n] - written["edges"][n]["score"]) for n in theirs)
    print(f"{specimen}: {len(theirs)} edges, {int(differs.sum())} pairs, {len(kept)} kept; written and loaded {off:.3g} apart; "
          f"our EAP and theirs {apart:.3g} apart, {apart / largest:.3g} of the largest score {largest:.4g}")
    return apart <= 1e-3 * largest and off <= 1e-6 * largest


run("breed", "modular-addition-mini", "--set", "steps=200", "--set", "cooldown=100", "--out", ".")
task = ["--organism", "induction", "--set", "vocab=8", "--set", "seq=9", "--set", "period_min=3", "--set", "period_max=6"]
run("import", "transformer-lens", model_folder, *task, "--out", ".")
good = compare("modular-addition-mini-0", 10000)
good &= compare("imported-0", 10000)
sys.exit(0 if good else 1)
