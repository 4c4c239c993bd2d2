"""A small model as TransformerLens saves it, with its logits: fixture of crates/organism.

    python benchmarks/oracles/transformer_lens_model.py crates/organism/tests/transformer_lens

TransformerLens 3.9.0, torch on a CPU. The model has two layers of two heads, LayerNorm, an MLP and every bias;
its weights are random and large enough that attention is not uniform. model.pt is `torch.save` of the
state dict with all its buffers, cfg.json the config's dictionary, logits.safetensors inputs `tokens` and
what the model answers: `logits`, and `exact`, the same in float64.
"""

import json
import sys
import warnings
from pathlib import Path

sys.path.pop(0)  # `statistics` is a module of these oracles, and of Python
import torch
from safetensors.torch import save_file
from transformer_lens import HookedTransformer, HookedTransformerConfig

warnings.filterwarnings("ignore")
out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
torch.manual_seed(0)
cfg = HookedTransformerConfig(
    n_layers=2, d_model=8, n_ctx=9, d_head=4, n_heads=2, d_mlp=16, d_vocab=8, act_fn="gelu_new",
    normalization_type="LN", device="cpu", seed=0, init_weights=False,
)
model = HookedTransformer(cfg)
with torch.no_grad():
    for name, p in model.named_parameters():
        p.copy_(torch.randn(p.shape) * 0.6 + (1.0 if name.endswith(".w") else 0.0))
model.eval()
tokens = torch.randint(0, 8, (32, 9))
with torch.no_grad():
    logits = model(tokens)
    torch.save(model.state_dict(), out / "model.pt")
    (out / "cfg.json").write_text(json.dumps(cfg.to_dict(), indent=1, default=str) + "\n")
    exact = HookedTransformer(HookedTransformerConfig.from_dict(cfg.to_dict() | {"dtype": torch.float64}))
    exact.load_state_dict(model.state_dict())
    exact = exact(tokens)
save_file({"tokens": tokens, "logits": logits, "exact": exact.float()}, out / "logits.safetensors")
print("logits up to", float(logits.abs().max()), "their own rounding", float((logits - exact).abs().max()))
