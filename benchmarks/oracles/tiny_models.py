"""Writes tiny random language models with transformers, and the logits that it computes with them.

    OMP_NUM_THREADS=1 python benchmarks/oracles/tiny_models.py crates/network/tests/it/tiny

Each family is saved as a Hugging Face folder of its own, `config.json` as transformers writes it, so that the
reader is held against real files. Parameters are drawn wide (deviation 0.4, norms around 1), so that every one of
them is felt in the logits. Needs torch, transformers.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from transformers import GPT2Config, GPTNeoXConfig, LlamaConfig, MistralConfig, Qwen2Config

SMALL = dict(
    vocab_size=23, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=20,
    max_position_embeddings=12, bos_token_id=0, eos_token_id=0,
)
GROUPED = dict(SMALL, num_key_value_heads=2)
MODELS = {
    "gpt2": GPT2Config(vocab_size=23, n_embd=16, n_layer=2, n_head=4, n_positions=12, bos_token_id=0, eos_token_id=0),
    "neox": GPTNeoXConfig(**dict(SMALL, num_attention_heads=2), rotary_pct=0.25),
    "neox-in-turn": GPTNeoXConfig(**SMALL, rotary_pct=1.0, use_parallel_residual=False, tie_word_embeddings=True),
    "llama": LlamaConfig(**GROUPED, rms_norm_eps=1e-5, rope_theta=500.0),
    "mistral": MistralConfig(**GROUPED, head_dim=6, sliding_window=None),
    "qwen2": Qwen2Config(**GROUPED, tie_word_embeddings=True),
}
PROMPTS = [[3, 1, 4, 1, 5, 9, 2, 6], [0, 22, 11, 0, 22, 7, 11, 5]]


def main():
    out = Path(sys.argv[1])
    logits = {}
    for name, config in MODELS.items():
        torch.manual_seed(0)
        config._attn_implementation = "eager"
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
        with torch.no_grad():
            for key, p in model.named_parameters():
                centre = 1.0 if "norm" in key and key.endswith("weight") or ".ln_" in key and key.endswith("weight") else 0.0
                p.copy_(centre + 0.4 * torch.randn(p.shape))
        model.save_pretrained(out / name)
        (out / name / "generation_config.json").unlink(missing_ok=True)
        with torch.no_grad():
            logits[name] = [[[round(float(x), 6) for x in pos] for pos in model(torch.tensor([p])).logits[0]] for p in PROMPTS]
    recorded = dict(transformers=transformers.__version__, prompts=PROMPTS, logits=logits)
    (out / "logits.json").write_text(json.dumps(recorded, separators=(",", ":")) + "\n")


main()
