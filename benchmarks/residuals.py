"""A prompt of 64 tokens with every residual site captured: flyroom against transformers with hooks, in turn.

    cargo build --release -p flyroom-network --example residuals
    OMP_NUM_THREADS=2 python benchmarks/residuals.py MODEL.gguf target/release/examples/residuals [ROUNDS]

Both take the same dequantised weights in f32 and two threads, from token ids to activations in memory: the embedding,
the residual stream before, within and behind each block, and all logits. flyroom's time includes recording and compiling
the graph, as a user of `Runner` pays it. Rounds alternate, so that what else the machine does meets both; the medians
and their ratio are printed, and each pair of logits is compared. Needs torch, transformers, gguf.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
import transformers

THREADS = 2


def main():
    path, binary = Path(sys.argv[1]), sys.argv[2]
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 15
    torch.set_num_threads(THREADS)
    model = transformers.AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    kept = {}

    def keep(name):
        def hook(_module, args, output=None):
            x = args[0] if output is None else output
            kept[name] = (x[0] if isinstance(x, tuple) else x).detach().clone()
        return hook

    for i, layer in enumerate(model.model.layers):
        layer.register_forward_pre_hook(keep(f"blocks.{i}.hook_resid_pre"))
        layer.post_attention_layernorm.register_forward_pre_hook(keep(f"blocks.{i}.hook_resid_mid"))
        layer.register_forward_hook(keep(f"blocks.{i}.hook_resid_post"))
    model.model.embed_tokens.register_forward_hook(keep("hook_embed"))
    ours = subprocess.Popen([binary, str(path), str(THREADS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    generator = torch.Generator().manual_seed(0)
    seconds = {"flyroom": [], "transformers": []}
    for r in range(rounds + 2):
        ids = torch.randint(100, model.config.vocab_size, (1, 64), generator=generator)
        kept.clear()
        start = time.perf_counter()
        with torch.no_grad():
            logits = model(ids, use_cache=False).logits
        theirs = time.perf_counter() - start
        ours.stdin.write(" ".join(str(int(x)) for x in ids[0]) + "\n")
        ours.stdin.flush()
        said = json.loads(ours.stdout.readline())
        assert said["sites"] == len(kept) + 1, (said["sites"], len(kept))
        assert abs(said["logit"] - float(logits[0, -1].max())) < 2e-3, (said, float(logits[0, -1].max()))
        if r >= 2:  # the first two warm caches
            seconds["transformers"].append(theirs)
            seconds["flyroom"].append(said["seconds"])
    ours.stdin.close()
    medians = {k: statistics.median(v) for k, v in seconds.items()}
    for name, times in seconds.items():
        print(f"{name:<13} median {1e3 * medians[name]:7.1f} ms, least {1e3 * min(times):7.1f}, greatest {1e3 * max(times):7.1f}")
    print(f"ratio transformers / flyroom: {medians['transformers'] / medians['flyroom']:.2f}")


main()
