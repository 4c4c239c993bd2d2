"""Small dictionaries as SAELens saves them, with what it encodes: fixtures of crates/decompose.

    python benchmarks/oracles/sae_lens.py crates/decompose/tests/sae_lens

SAELens 6.54.12, torch on a CPU. Each folder holds cfg.json and sae_weights.safetensors as `save_model`
wrote them, and encoded.safetensors with inputs `x`, latents `z` and reconstructions `y`. Only the flat cfg.json of
`before-6` is written here, after what SAELens' own loader takes from such files (`handle_pre_6_0_config`); it is
SAELens that loads it and encodes. Folders that are there are left as they are.
"""

import json
import sys
from pathlib import Path

sys.path.pop(0)  # this script is called as the package is
import torch
from safetensors.torch import save_file
from sae_lens import SAE, GatedSAE, GatedSAEConfig, JumpReLUSAE, JumpReLUSAEConfig
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
    "layer_norm": (StandardSAE, StandardSAEConfig, dict(normalize_activations="layer_norm")),
    "constant_norm": (TopKSAE, TopKSAEConfig, dict(k=3, normalize_activations="constant_norm_rescale")),
    "before-6": (StandardSAE, StandardSAEConfig, {}),
}
FLAT = {
    "architecture": "standard", "d_in": 6, "d_sae": 12, "activation_fn_str": "relu", "apply_b_dec_to_input": True,
    "finetuning_scaling_factor": False, "context_size": 128, "model_name": "none", "hook_name": "blocks.0.hook_resid_post",
    "hook_layer": 0, "hook_head_index": None, "prepend_bos": True, "dataset_path": "none", "dataset_trust_remote_code": True,
    "normalize_activations": "none", "dtype": "torch.float32", "device": "cpu", "sae_lens_training_version": "3.13.0",
    "activation_fn_kwargs": {}, "neuronpedia_id": None, "model_from_pretrained_kwargs": {}, "seqpos_slice": [None],
}
x = torch.randn(16, 6)
for name, (sae_class, config_class, more) in kinds.items():
    config = config_class(**common, **more, metadata=SAEMetadata(hook_name="blocks.0.hook_resid_post"))
    sae = sae_class(config)
    with torch.no_grad():
        for p in sae.parameters():
            p.copy_(torch.randn_like(p) * 0.5)
    if (out / name).exists():
        continue
    sae.save_model(out / name)
    if name == "before-6":
        (out / name / "cfg.json").write_text(json.dumps(FLAT, indent=1) + "\n")
        sae = SAE.load_from_disk(out / name)
    with torch.no_grad():
        z = sae.encode(x)
        y = sae.decode(z)
    save_file({"x": x, "z": z.contiguous(), "y": y.contiguous()}, out / name / "encoded.safetensors")
    print(name, "latents above 0:", float((z > 0).float().mean()))
