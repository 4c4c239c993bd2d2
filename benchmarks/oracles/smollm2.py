"""Records the logits that transformers computes from SmolLM2's GGUF file, dequantised to float32.

    OMP_NUM_THREADS=1 python benchmarks/oracles/smollm2.py MODEL.gguf > benchmarks/oracles/smollm2.json

For each prompt: its token ids, and at the last position the 50 greatest logits and every 97th of the vocabulary.
Needs torch, transformers, gguf.
"""

import json
import sys
from pathlib import Path

import torch
import transformers

PROMPTS = ["The capital of France is", "When Mary and John went to the store, John gave a drink to", "1, 2, 4, 8,"]


def main():
    path = Path(sys.argv[1])
    tokenizer = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    model = transformers.AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    out = []
    for prompt in PROMPTS:
        ids = tokenizer(prompt)["input_ids"]
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, -1]
        kept = sorted({*logits.topk(50).indices.tolist(), *range(0, len(logits), 97)})
        out.append(dict(prompt=prompt, ids=ids, logits={str(i): round(float(logits[i]), 5) for i in kept}))
    print(json.dumps(dict(transformers=transformers.__version__, file=path.name, prompts=out), separators=(",", ":")))


main()
