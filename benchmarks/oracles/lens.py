"""Records logit lens, direct logit attribution and activation patching of small transformers, as
TransformerLens computes them, as a fixture for crates/describe.

Two networks: a random one of GPT-2's form (2 layers, LayerNorm, biases everywhere, GELU), whose
weights are written into the fixture, and, if its folder is given, stories260k (Llama's form: rotary
positions, RMSNorm, grouped keys, gated MLPs), whose weights stay where they are. The final norm is
computed anew for the lens and frozen for the attribution. Needs torch and transformer-lens 3.9.

    python benchmarks/oracles/lens.py [STORIES260K-FOLDER] > crates/describe/tests/it/lens.json
"""

import json
import math
import sys

# `statistics.py` beside this script would hide the module of the standard library.
sys.path.pop(0)

import torch
from transformer_lens import HookedTransformer, HookedTransformerConfig, patching

torch.set_grad_enabled(False)
torch.manual_seed(0)


def gpt2_form():
    cfg = HookedTransformerConfig(
        n_layers=2, d_model=16, n_ctx=8, d_head=8, n_heads=2, d_mlp=32, d_vocab=24,
        act_fn="gelu_new", normalization_type="LN", eps=1e-5, seed=0, device="cpu",
    )
    model = HookedTransformer(cfg)
    weights = {}
    for name, p in model.named_parameters():
        norm = name.endswith(".w")
        values = torch.randn(p.shape) * (0.2 if norm else 0.35) + (1.0 if norm else 0.0)
        # Four digits are exact in the file and small enough to be kept.
        p.copy_((values * 1e4).round() / 1e4)
        weights[name] = [round(float(x), 4) for x in p.flatten().tolist()]
    tokens = torch.randint(0, cfg.d_vocab, (4, 8))
    corrupted = tokens.clone()
    corrupted[:, 2] = (corrupted[:, 2] + 7) % cfg.d_vocab
    corrupted[:, 5] = (corrupted[:, 5] + 3) % cfg.d_vocab
    config = dict(n_layers=2, d_model=16, n_heads=2, d_head=8, d_mlp=32, d_vocab=24, n_ctx=8)
    return model, tokens, corrupted, dict(name="gpt2-form", config=config, weights=weights)


def stories(folder):
    from safetensors.torch import load_file

    with open(folder + "/config.json") as f:
        c = json.load(f)
    w = load_file(folder + "/model.safetensors")
    heads, groups = c["num_attention_heads"], c["num_key_value_heads"]
    d, k = c["hidden_size"], c["hidden_size"] // heads
    cfg = HookedTransformerConfig(
        n_layers=c["num_hidden_layers"], d_model=d, n_ctx=c["max_position_embeddings"], d_head=k,
        n_heads=heads, n_key_value_heads=groups, d_mlp=c["intermediate_size"],
        d_vocab=c["vocab_size"], act_fn="silu", gated_mlp=True, normalization_type="RMS",
        eps=c["rms_norm_eps"], positional_embedding_type="rotary", rotary_dim=k,
        rotary_base=int(c.get("rope_theta", 10000)), rotary_adjacent_pairs=False, final_rms=True,
        seed=0, device="cpu",
    )
    model = HookedTransformer(cfg)
    state = {n: torch.zeros_like(p) for n, p in model.named_parameters()}
    state["embed.W_E"] = w["model.embed_tokens.weight"]
    head = w.get("lm_head.weight", w["model.embed_tokens.weight"])
    state["unembed.W_U"] = head.T
    state["ln_final.w"] = w["model.norm.weight"]
    for i in range(cfg.n_layers):
        a, b = f"model.layers.{i}.", f"blocks.{i}."
        split = lambda t, n: t.reshape(n, k, d).transpose(1, 2)
        state[b + "attn.W_Q"] = split(w[a + "self_attn.q_proj.weight"], heads)
        state[b + "attn._W_K"] = split(w[a + "self_attn.k_proj.weight"], groups)
        state[b + "attn._W_V"] = split(w[a + "self_attn.v_proj.weight"], groups)
        state[b + "attn.W_O"] = w[a + "self_attn.o_proj.weight"].T.reshape(heads, k, d)
        state[b + "mlp.W_gate"] = w[a + "mlp.gate_proj.weight"].T
        state[b + "mlp.W_in"] = w[a + "mlp.up_proj.weight"].T
        state[b + "mlp.W_out"] = w[a + "mlp.down_proj.weight"].T
        state[b + "ln1.w"] = w[a + "input_layernorm.weight"]
        state[b + "ln2.w"] = w[a + "post_attention_layernorm.weight"]
    missing = model.load_state_dict(state, strict=False)
    assert not missing.unexpected_keys, missing
    with open(folder + "/reference_logits.json") as f:
        reference = json.load(f)
    last = model(torch.tensor([reference["prompt_ids"]]))[0, -1]
    assert (last - torch.tensor(reference["last_logits"])).abs().max() < 2e-4
    ids = reference["prompt_ids"]
    tokens = torch.tensor([ids[:1] + ids[k : k + 11] for k in (1, 6, 15)])
    corrupted = tokens.clone()
    corrupted[:, 3] = (corrupted[:, 3] + 31) % 400 + 100
    corrupted[:, 7] = (corrupted[:, 7] + 77) % 400 + 100
    return model, tokens, corrupted, dict(name="stories260k")


def record(model, tokens, corrupted, case):
    n = model.cfg.n_layers
    clean_logits, clean = model.run_with_cache(tokens)
    corrupted_logits, bad = model.run_with_cache(corrupted)
    # What the network itself says at the end: answer of the clean prompt, answer of the corrupted;
    # where both agree the second choice stands for the latter.
    answer = clean_logits[:, -1].argmax(-1)
    best = corrupted_logits[:, -1].topk(2, -1).indices
    wrong = torch.where(best[:, 0] == answer, best[:, 1], best[:, 0])
    rows = torch.arange(len(tokens))
    difference = lambda logits: (logits[rows, -1, answer] - logits[rows, -1, wrong]).mean()

    streams = [clean[f"blocks.{i}.hook_resid_pre"] for i in range(n)] + [clean[f"blocks.{n - 1}.hook_resid_post"]]
    end = clean_logits.log_softmax(-1)
    lens = dict(probability=[], logit=[], rank=[], kl=[], top=[])
    for x in streams:
        logits = model.unembed(model.ln_final(x))
        ln = logits.log_softmax(-1)
        own = logits.gather(-1, answer[:, None, None].expand(-1, logits.shape[1], 1))[..., 0]
        p = ln.gather(-1, answer[:, None, None].expand(-1, logits.shape[1], 1))[..., 0].exp()
        lens["probability"] += p.mean(0).tolist()
        lens["logit"] += own.mean(0).tolist()
        lens["rank"] += (1 + (logits > own[..., None]).sum(-1)).double().mean(0).tolist()
        lens["kl"] += (end.exp() * (end - ln)).sum(-1).mean(0).tolist()
        lens["top"] += logits[0].argmax(-1).tolist()

    direction = model.W_U[:, answer] - model.W_U[:, wrong]  # [d_model, prompt]
    weights = direction * model.ln_final.w[:, None]
    parts, labels = [clean["hook_embed"][:, -1]], ["embed"]
    if "hook_pos_embed" in clean:
        parts.append(clean["hook_pos_embed"][:, -1])
        labels.append("pos_embed")
    for i in range(n):
        z = clean[f"blocks.{i}.attn.hook_z"][:, -1]
        result = torch.einsum("bhk,hkd->bhd", z, model.W_O[i])
        for h in range(model.cfg.n_heads):
            parts.append(result[:, h])
            labels.append(f"a{i}.h{h}")
        parts.append(model.b_O[i].expand(len(tokens), -1))
        labels.append(f"a{i}.b_O")
        parts.append(clean[f"blocks.{i}.hook_mlp_out"][:, -1])
        labels.append(f"m{i}")
    stack = clean.apply_ln_to_stack(torch.stack(parts), layer=-1, pos_slice=-1)
    attribution = torch.einsum("cbd,db->cb", stack, weights).mean(-1)
    attribution = dict(zip(labels, attribution.tolist()))
    if getattr(model.ln_final, "b", None) is not None:
        attribution["ln_final.b"] = (model.ln_final.b @ direction).mean().item()
    if model.b_U.abs().max() > 0:
        attribution["b_U"] = (model.b_U[answer] - model.b_U[wrong]).mean().item()
    assert math.isclose(sum(attribution.values()), difference(clean_logits).item(), abs_tol=1e-4)

    low, high = difference(corrupted_logits), difference(clean_logits)
    metric = lambda logits: (difference(logits) - low) / (high - low)
    sweeps = {}
    for name, f in [
        ("resid_pre", patching.get_act_patch_resid_pre),
        ("attn_out", patching.get_act_patch_attn_out),
        ("mlp_out", patching.get_act_patch_mlp_out),
        ("z", patching.get_act_patch_attn_head_out_all_pos),
    ]:
        sweeps[name + ", denoising"] = f(model, corrupted, clean, metric).flatten().tolist()
        sweeps[name + ", noising"] = f(model, tokens, bad, metric).flatten().tolist()

    digits = lambda x: round(x, 7)
    shorten = lambda v: {k: [digits(x) for x in xs] for k, xs in v.items()}
    case.update(
        tokens=tokens.tolist(), corrupted=corrupted.tolist(), answer=answer.tolist(), wrong=wrong.tolist(),
        difference=[digits(low.item()), digits(high.item())], lens=shorten(lens), sweeps=shorten(sweeps),
        attribution={k: digits(v) for k, v in attribution.items()},
    )
    return case


cases = [record(*gpt2_form())]
if len(sys.argv) > 1:
    cases.append(record(*stories(sys.argv[1])))
json.dump(cases, sys.stdout, separators=(",", ":"))
print()
