"""Small dictionaries as SAELens saves them, with what it encodes: fixtures of crates/decompose.

    python benchmarks/oracles/sae_lens.py crates/decompose/tests/sae_lens

SAELens 6.54.12, torch on a CPU. Each folder holds cfg.json and sae_weights.safetensors as `save_model`
wrote them, and encoded.safetensors with inputs `x`, latents `z` and reconstructions `y`.
"""

import sys
from pathlib import Path

sys.path.pop(0)  # this script is called as the package is
import torch
from safetensors.torch import save_file
from sae_lens import GatedSAE, GatedSAEConfig, JumpReLUSAE, JumpReLUSAEConfig
from sae_lens import StandardSAE, StandardSAEConfig, TopKSAE, TopKSAEConfig
from sae_lens.saes.sae import SAEMetadata

out = Path(sys.argv[1])
torch.manual_seed(0)
common = dict(d_in=6, d_sae=12, dtype="float32", device="cpu")
kinds = {
    "standard": (StandardSAE, StandardSAEConfig, dict(apply_b_dec_to_input=False)),
    "topk": (TopKSAE, TopKSAEConfig, dict(k=3)),
    "jumprelu": (JumpReLUSAE, JumpReLUSAEConfig, {}),
    "gated": (GatedSAE, GatedSAEConfig, {}),
}
x = torch.randn(16, 6)
for name, (sae_class, config_class, more) in kinds.items():
    config = config_class(**common, **more, metadata=SAEMetadata(hook_name="blocks.0.hook_resid_post"))
    sae = sae_class(config)
    with torch.no_grad():
        for p in sae.parameters():
            p.copy_(torch.randn_like(p) * 0.5)
        z = sae.encode(x)
        y = sae.decode(z)
    sae.save_model(out / name)
    save_file({"x": x, "z": z.contiguous(), "y": y.contiguous()}, out / name / "encoded.safetensors")
    print(name, "latents above 0:", float((z > 0).float().mean()))
