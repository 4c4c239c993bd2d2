"""W1 to W5 of the design beside PyTorch, SAELens and TransformerLens, in turn, on two threads.

    cargo build --release -p flyroom-describe --example workloads
    python benchmarks/workloads.py target/release/examples/workloads [WORKLOAD ...] [--rounds 7] [--steps 12]

Each round runs every side in a process of its own, one after the other, so that what else the machine does meets all of
them; a side's time in a round is the median over its steps but the first two. Printed are medians over rounds, their
spread, ratios of medians, peak memory, and the losses. All sides start from the same weights and see the same data, which
flyroom writes; the script stops if their losses (W4: the scores of edges) differ.

  users  PyTorch as users write it: separate q, k, v, softmax(q k / sqrt) v with a mask, AdamW as it comes
  best   the same function in its best form: fused AdamW, scaled_dot_product_attention, q, k, v in one product, sliced to
         the positions that the loss reads; W5: 16 seeds as one batched model (torch.bmm), and as two processes
  W3     SAELens dense and sparse, and PyTorch by hand: see dictionaries.py
  W4     TransformerLens: one forward pass with a hook for each edge, all prompts in one batch

  W4-large  every edge of four layers of four heads with MLPs and norms, 256 prompts: ours alone, a minute is asked for

The peak memory is that of the process: of the peers, some 250 MiB are Python and torch themselves.

Needs torch, safetensors; W3 needs sae-lens 6.54.12, W4 transformer-lens 3.9.0.
"""

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

THREADS = 2
SEEDS = 16
BATCHES = 16
SHAPES = {  # layers, d_model, heads, d_mlp, vocabulary, outputs, pos, batch, norm
    "W1": (1, 128, 4, 512, 114, 113, 3, 3830, False),
    "W2": (2, 64, 4, 256, 64, 64, 32, 64, True),
}
SIDES = {
    "W3": ["flyroom", "dense", "sparse", "hand"],
    "W4": ["flyroom", "lens"],
    "W4-large": ["flyroom"],
    "W5": ["flyroom", "batched", "processes"],
}
ADAMW = {"W1": dict(lr=1e-3, betas=(0.9, 0.98), weight_decay=1.0), "W2": dict(lr=1e-3, betas=(0.9, 0.999), weight_decay=0.01)}


def torch_side(name, form, folder, steps):
    """Trains in this process and prints what `workloads` prints."""
    import torch
    from safetensors.torch import load_file

    torch.set_num_threads(1 if form == "one-thread" else THREADS)
    best = form != "users"
    layers, d, heads, d_mlp, _, out, pos, batch, norm = SHAPES["W2" if name == "W5" else name]
    kind = "W2" if name == "W5" else name
    last = kind == "W1"
    data = load_file(f"{folder}/{kind}-data.safetensors")
    tokens = [data[f"tokens{t}"].long().view(batch, pos) for t in range(1, BATCHES + 1)]
    targets = [data[f"targets{t}"].long().view(batch if last else (batch, pos)) for t in range(1, BATCHES + 1)]

    class Block(torch.nn.Module):
        def __init__(self, w, i):
            super().__init__()
            a, m = f"blocks.{i}.attn.", f"blocks.{i}.mlp."
            self.norm = norm
            # [head, d, k] to one matrix [d, head k], as nn.Linear keeps it: transposed
            flat = lambda n: w[a + n].permute(0, 2, 1).reshape(d, d)  # noqa: E731
            P = lambda t: torch.nn.Parameter(t.clone().contiguous())  # noqa: E731
            if best:
                self.qkv = P(torch.cat([flat("W_Q"), flat("W_K"), flat("W_V")]))
            else:
                self.q, self.k, self.v = P(flat("W_Q")), P(flat("W_K")), P(flat("W_V"))
            self.o = P(w[a + "W_O"].reshape(d, d).T)
            self.w_in, self.b_in = P(w[m + "W_in"].T), P(w[m + "b_in"])
            self.w_out, self.b_out = P(w[m + "W_out"].T), P(w[m + "b_out"])
            if norm:
                self.ln1 = torch.nn.LayerNorm(d)
                self.ln2 = torch.nn.LayerNorm(d)
            self.register_buffer("mask", torch.triu(torch.ones(pos, pos, dtype=torch.bool), 1))

        def forward(self, x, cut):
            F = torch.nn.functional
            b = x.shape[0]
            h = self.ln1(x) if norm else x
            if best:
                q, k, v = F.linear(h, self.qkv).view(b, pos, 3, heads, d // heads).permute(2, 0, 3, 1, 4)
                if cut:  # the last position sees all keys
                    q, x = q[:, :, -1:], x[:, -1:]
                z = F.scaled_dot_product_attention(q, k, v, is_causal=not cut)
            else:
                split = lambda w: F.linear(h, w).view(b, pos, heads, d // heads).transpose(1, 2)  # noqa: E731
                q, k, v = split(self.q), split(self.k), split(self.v)
                scores = q @ k.transpose(2, 3) / math.sqrt(d // heads)
                z = torch.softmax(scores.masked_fill(self.mask, -math.inf), -1) @ v
            x = x + F.linear(z.transpose(1, 2).reshape(b, x.shape[1], d), self.o)
            h = self.ln2(x) if norm else x
            return x + F.linear(torch.relu(F.linear(h, self.w_in, self.b_in)), self.w_out, self.b_out)

    class Model(torch.nn.Module):
        def __init__(self, w):
            super().__init__()
            self.embed = torch.nn.Parameter(w["embed.W_E"].clone())
            self.pos = torch.nn.Parameter(w["pos_embed.W_pos"].clone())
            self.blocks = torch.nn.ModuleList([Block(w, i) for i in range(layers)])
            self.unembed = torch.nn.Parameter(w["unembed.W_U"].T.clone())
            self.b_u = torch.nn.Parameter(w["unembed.b_U"].clone()) if "unembed.b_U" in w else None
            self.ln = torch.nn.LayerNorm(d) if norm else torch.nn.Identity()

        def forward(self, t):
            x = self.embed[t] + self.pos
            for i, block in enumerate(self.blocks):
                x = block(x, best and last and i == layers - 1)
            return torch.nn.functional.linear(self.ln(x), self.unembed, self.b_u)

    def train(seed):
        w = load_file(f"{folder}/{kind}-{seed}.safetensors")
        model = Model(w)
        assert sum(p.numel() for p in model.parameters()) == sum(t.numel() for t in w.values()), "not the same parameters"
        optimizer = torch.optim.AdamW(model.parameters(), fused=True if best else None, **ADAMW[kind])
        seconds, losses = [], []
        for t in range(steps):
            start = time.perf_counter()
            logits = model(tokens[t % BATCHES])
            logits = logits[:, -1] if last else logits.flatten(0, 1)
            loss = torch.nn.functional.cross_entropy(logits, targets[t % BATCHES].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seconds.append(time.perf_counter() - start)
            losses.append(loss.item())
        return seconds, losses

    if name != "W5":
        seconds, losses = train(0)
        said = {"seconds": seconds, "losses": [losses[0], losses[-1]]}
    elif form == "one-thread":  # one of two processes
        start = time.perf_counter()
        half = range(int(os.environ["HALF"]), SEEDS, 2)
        losses = [train(seed)[1][-1] for seed in half]
        said = {"seconds": [(time.perf_counter() - start) / steps], "losses": losses}
    else:
        seconds, losses = batched(folder, steps, tokens, targets)
        said = {"seconds": seconds, "losses": losses}
    said["peak_kib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(said))


def batched(folder, steps, tokens, targets):
    """W5 as one model whose weights have a leading axis of seeds."""
    import torch
    from safetensors.torch import load_file

    F = torch.nn.functional
    layers, d, heads, _, vocabulary, _, pos, batch, _ = SHAPES["W2"]
    sets = [load_file(f"{folder}/W2-{seed}.safetensors") for seed in range(SEEDS)]
    w = {n: torch.nn.Parameter(torch.stack([s[n] for s in sets])) for n in sets[0]}
    qkv = {}
    for i in range(layers):  # q, k, v in one product
        a = f"blocks.{i}.attn."
        parts = [w.pop(a + f"W_{x}").detach().permute(0, 2, 1, 3).reshape(SEEDS, d, d) for x in "QKV"]
        qkv[i] = w[a + "qkv"] = torch.nn.Parameter(torch.cat(parts, 2))
    optimizer = torch.optim.AdamW(list(w.values()), fused=True, **ADAMW["W2"])

    def ln(x, name):
        return F.layer_norm(x, (d,)) * w[name + ".w"][:, None] + w[name + ".b"][:, None]

    seconds, losses = [], []
    for t in range(steps):
        start = time.perf_counter()
        x = (w["embed.W_E"][:, tokens[t % BATCHES]] + w["pos_embed.W_pos"][:, None]).view(SEEDS, batch * pos, d)
        for i in range(layers):
            a, m = f"blocks.{i}.attn.", f"blocks.{i}.mlp."
            y = torch.bmm(ln(x, f"blocks.{i}.ln1"), qkv[i]).view(SEEDS * batch, pos, 3, heads, d // heads)
            q, k, v = y.permute(2, 0, 3, 1, 4)
            z = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(SEEDS, batch * pos, d)
            x = x + torch.bmm(z, w[a + "W_O"].view(SEEDS, d, d))
            h = torch.relu(torch.baddbmm(w[m + "b_in"][:, None], ln(x, f"blocks.{i}.ln2"), w[m + "W_in"]))
            x = x + torch.baddbmm(w[m + "b_out"][:, None], h, w[m + "W_out"])
        logits = torch.bmm(ln(x, "ln_final"), w["unembed.W_U"])
        if "unembed.b_U" in w:
            logits = logits + w["unembed.b_U"][:, None]
        each = F.cross_entropy(logits.view(-1, vocabulary), targets[t % BATCHES].flatten().repeat(SEEDS), reduction="none")
        loss = each.view(SEEDS, -1).mean(1)
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
        losses = loss.tolist()
    return seconds, losses


def lens_side(folder):
    """W4: removes each edge alone by hooks at the receiver's input."""
    import torch
    from safetensors.torch import load_file
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    torch.set_num_threads(THREADS)
    w = load_file(f"{folder}/W4.safetensors")
    direction = w.pop("direction")
    prompts, pos, out = direction.shape
    clean, corrupted = (w.pop(n).long().view(prompts, pos) for n in ("clean", "corrupted"))
    heads, d, k = w["blocks.0.attn.W_Q"].shape
    layers = 1 + max(int(n.split(".")[1]) for n in w if n.startswith("blocks."))
    cfg = HookedTransformerConfig(
        n_layers=layers, d_model=d, n_ctx=w["pos_embed.W_pos"].shape[0], d_head=k, n_heads=heads, d_vocab=w["embed.W_E"].shape[0],
        d_vocab_out=out, attn_only=True, normalization_type=None, use_attn_result=True, use_split_qkv_input=True, device="cpu")
    model = HookedTransformer(cfg)
    state = {n: t for n, t in model.state_dict().items() if n.endswith(("mask", "IGNORE"))}
    state |= {n: torch.zeros_like(t) for n, t in model.state_dict().items() if ".b_" in n}
    model.load_state_dict(state | w)

    senders = ["embed", "pos_embed"] + [f"a{i}.h{h}" for i in range(layers) for h in range(heads)]
    edges = []
    for i in range(layers + 1):
        below = senders[: 2 + heads * i]
        receivers = [f"a{i}.h{h}<{x}>" for h in range(heads) for x in "qkv"] if i < layers else ["logits"]
        edges += [(s, r) for r in receivers for s in below]

    def written(cache, sender):
        if sender in ("embed", "pos_embed"):
            return cache[f"hook_{sender}"]
        i, h = sender[1:].split(".h")
        return cache[f"blocks.{i}.attn.hook_result"][:, :, int(h)]

    with torch.no_grad():
        start = time.perf_counter()
        logits, cache = model.run_with_cache(clean)
        _, other = model.run_with_cache(corrupted)
        whole = (logits * direction).sum((1, 2))
        scores = {}
        for s, r in edges:
            delta = written(other, s) - written(cache, s)

            def patch(x, hook, r=r, delta=delta):
                if r == "logits":
                    return x + delta
                x[:, :, int(r.split(".h")[1].split("<")[0])] += delta
                return x

            point = f"blocks.{layers - 1}.hook_resid_post" if r == "logits" else f"blocks.{r[1:].split('.')[0]}.hook_{r[-2]}_input"
            y = model.run_with_hooks(clean, fwd_hooks=[(point, patch)])
            scores[f"{s}->{r}"] = (whole - (y * direction).sum((1, 2))).mean().item()
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": [seconds], "scores": scores, "peak_kib": peak}))


def child(command, **env):
    env = os.environ | {"OMP_NUM_THREADS": str(THREADS)} | env
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True, env=env)


def answer(process):
    out, _ = process.communicate()
    assert process.returncode == 0, "a side failed"
    return json.loads(out.splitlines()[-1])


def run(side, name, binary, folder, steps):
    if side == "flyroom":
        return answer(child([binary, name, folder, THREADS, steps]))
    if name == "W3":
        return answer(child([sys.executable, Path(__file__).with_name("dictionaries.py"), side, folder, steps, THREADS]))
    me = [sys.executable, __file__, "--child", name, side, folder, "--steps", steps]
    if side != "processes":
        return answer(child(me))
    me[4] = "one-thread"
    both = [answer(p) for p in [child(me, HALF=str(i), OMP_NUM_THREADS="1") for i in range(2)]]
    losses = [both[i % 2]["losses"][i // 2] for i in range(SEEDS)]
    return {"seconds": [max(b["seconds"][0] for b in both)], "losses": losses, "peak_kib": sum(b["peak_kib"] for b in both)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary", nargs="?")
    parser.add_argument("workloads", nargs="*", default=["W1", "W2", "W3", "W4", "W4-large", "W5"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--child", nargs=3)
    args = parser.parse_args()
    if args.child:
        name, side, folder = args.child
        return lens_side(folder) if name == "W4" else torch_side(name, side, folder, args.steps)
    import torch

    print(f"torch {torch.__version__}, {THREADS} threads, {args.rounds} rounds, {args.steps} steps")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([args.binary, "prepare", folder], check=True)
        for name in args.workloads:
            sides = SIDES.get(name, ["flyroom", "users", "best"])
            seconds, last = {s: [] for s in sides}, {}
            for _ in range(args.rounds):
                for side in sides:
                    said = last[side] = run(side, name, args.binary, folder, args.steps)
                    steps = said["seconds"]
                    seconds[side].append(statistics.median(steps[2:] if len(steps) > 4 else steps))
            ours = statistics.median(seconds["flyroom"])
            for side in sides:
                t, said = seconds[side], last[side]
                result = said.get("losses") or [max(map(abs, said["scores"].values())), len(said["scores"])]
                print(f"{name} {side:<10} median {1e3 * statistics.median(t):9.2f} ms ({1e3 * min(t):.2f} to {1e3 * max(t):.2f})"
                      f"  {statistics.median(t) / ours:5.2f}x  peak {said['peak_kib'] / 1024:7.0f} MiB  {[round(x, 6) for x in result[-2:]]}")
                if "scores" in said:
                    theirs, mine = said["scores"], last["flyroom"]["scores"]
                    assert theirs.keys() == mine.keys(), set(theirs) ^ set(mine)
                    scale = max(map(abs, mine.values()))
                    assert all(abs(theirs[e] - mine[e]) < 1e-3 * scale for e in mine), "the scores differ"
                else:
                    # SAELens' rule differs (dictionaries.py), so its loss behind the last step is only near.
                    near = 0.01 if side in ("dense", "sparse") else 2e-4
                    pairs = list(zip(said["losses"], last["flyroom"]["losses"], strict=True))
                    assert abs(pairs[0][0] - pairs[0][1]) < 2e-4, pairs
                    assert all(abs(a - b) < near for a, b in pairs), pairs


main()
