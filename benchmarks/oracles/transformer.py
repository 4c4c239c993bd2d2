"""Records small transformers, computed plainly in float64, as a fixture for crates/network.

Independent of the engine: one position and one head at a time, from the definitions of Vaswani et
al. 2017, Ba et al. 2016 (LayerNorm), Zhang and Sennrich 2019 (RMSNorm), Ainslie et al. 2023 (grouped
queries), Zhong et al. 2023 (attention rate), Su et al. 2021 (rotary positions), Shazeer 2020 (gated MLP),
Wang and Komatsuzaki 2021 (parallel block), Elhage et al. 2022 (tied autoencoder). Needs numpy.

    python benchmarks/oracles/transformer.py > crates/network/tests/it/oracle.json
"""

import json
import math

import numpy as np

EPS = 1e-5


def normalise(x, w, prefix, config, hooks=None):
    kind = config["norm"]
    if kind == "none":
        return x
    c = x - x.mean() if kind == "layer_norm" else x
    scale = math.sqrt((c * c).mean() + config.get("eps", EPS))
    if hooks is not None:
        hooks.setdefault(prefix + ".hook_scale", []).append([scale])
        hooks.setdefault(prefix + ".hook_normalized", []).append(c / scale)
    y = c / scale * w[prefix + ".w"]
    return y + w[prefix + ".b"] if kind == "layer_norm" else y


def activate(f, x):
    if f == "relu":
        return np.where(x > 0, x, 0.0)
    if f == "gelu":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    if f == "gelu_erf":
        return np.array([0.5 * y * (1 + math.erf(y / math.sqrt(2))) for y in x])
    if f == "silu":
        return x / (1 + np.exp(-x))
    return x * x if f == "square" else x


def turn(x, p, rotary):
    """Complex multiplication of each pair by e^(i angle)."""
    n, out = rotary["dim"], x.copy()
    for i in range(n // 2):
        a, b = (i, i + n // 2) if rotary["pairs"] == "halves" else (2 * i, 2 * i + 1)
        z = complex(x[a], x[b]) * np.exp(1j * p * rotary["base"] ** (-2 * i / n))
        out[a], out[b] = z.real, z.imag
    return out


def transformer(c, w, tokens):
    n, hooks = len(tokens), {}
    heads, groups = c["n_heads"], c["n_kv_heads"]
    resid = [w["embed.W_E"][t].copy() for t in tokens]
    if c["positions"] == "learned":
        resid = [r + w["pos_embed.W_pos"][p] for p, r in enumerate(resid)]
    for i in range(c["n_layers"]):
        b = f"blocks.{i}."
        a = b + "attn."
        normal = [normalise(r, w, b + "ln1", c, hooks) for r in resid]

        def head_in(letter, h):
            rows = [x @ w[a + "W_" + letter][h] for x in normal]
            biased = c["attn_bias"] or c.get("qkv_bias")
            return [r + w[a + "b_" + letter][h] for r in rows] if biased else rows

        patterns, zs, results = [], np.zeros((n, heads, c["d_head"])), np.zeros((n, heads, c["d_model"]))
        for h in range(heads):
            g = h // (heads // groups)
            q, k, v = head_in("Q", h), head_in("K", g), head_in("V", g)
            if isinstance(c["positions"], dict):
                q, k = ([turn(x, p, c["positions"]["rotary"]) for p, x in enumerate(y)] for y in (q, k))
                hooks.setdefault(a + "hook_rot_q", np.zeros((n, heads, c["d_head"])))[:, h] = q
                hooks.setdefault(a + "hook_rot_k", np.zeros((n, groups, c["d_head"])))[:, g] = k
            pattern = np.zeros((n, n))
            for p in range(n):
                seen = range(p + 1) if c["causal"] else range(n)
                scores = {s: float(q[p] @ k[s]) / c["attn_scale"] for s in seen}
                top = max(scores.values())
                total = sum(math.exp(s - top) for s in scores.values())
                for s in scores:
                    pattern[p, s] = math.exp(scores[s] - top) / total
            pattern = c["attention_share"] * pattern + (1 - c["attention_share"])
            patterns.append(pattern)
            for p in range(n):
                zs[p, h] = sum(pattern[p, s] * v[s] for s in range(n))
                results[p, h] = zs[p, h] @ w[a + "W_O"][h]
        hooks[a + "hook_pattern"], hooks[a + "hook_z"], hooks[a + "hook_result"] = patterns, zs, results
        out = results.sum(axis=1)
        if c["attn_bias"]:
            out = out + w[a + "b_O"]
        before, resid = resid, [r + o for r, o in zip(resid, out)]
        if c["d_mlp"]:
            m, written = b + "mlp.", []
            for r in before if c.get("parallel_attn_mlp") else resid:
                x = normalise(r, w, b + "ln2", c)
                pre = x @ w[m + "W_in"]
                pre = pre + w[m + "b_in"] if c["mlp_bias"] else pre
                if c.get("gated_mlp"):
                    hooks.setdefault(m + "hook_pre_linear", []).append(pre)
                    post = activate(c["act_fn"], x @ w[m + "W_gate"]) * pre
                else:
                    post = activate(c["act_fn"], pre)
                hooks.setdefault(m + "hook_post", []).append(post)
                out = post @ w[m + "W_out"]
                written.append(out + w[m + "b_out"] if c["mlp_bias"] else out)
            hooks[b + "hook_mlp_out"] = written
            resid = [r + o for r, o in zip(resid, written)]
        hooks[b + "hook_resid_post"] = resid
    logits = [normalise(r, w, "ln_final", c) @ w["unembed.W_U"] for r in resid]
    hooks["hook_logits"] = [x + w["unembed.b_U"] for x in logits] if c["unembed_bias"] else logits
    return hooks


def shapes(c):
    d, k, f = c["d_model"], c["d_head"], c["d_mlp"]
    out = {"embed.W_E": (c["d_vocab"], d), "unembed.W_U": (d, c["d_vocab_out"])}
    if c["positions"] == "learned":
        out["pos_embed.W_pos"] = (c["n_ctx"], d)
    if c["unembed_bias"]:
        out["unembed.b_U"] = (c["d_vocab_out"],)
    norms = ["ln_final"]
    for i in range(c["n_layers"]):
        a, m = f"blocks.{i}.attn.", f"blocks.{i}.mlp."
        norms += [f"blocks.{i}.ln1"] + ([f"blocks.{i}.ln2"] if f else [])
        for letter, heads in (("Q", c["n_heads"]), ("K", c["n_kv_heads"]), ("V", c["n_kv_heads"])):
            out[a + "W_" + letter] = (heads, d, k)
            if c["attn_bias"] or c.get("qkv_bias"):
                out[a + "b_" + letter] = (heads, k)
        out[a + "W_O"] = (c["n_heads"], k, d)
        if c["attn_bias"]:
            out[a + "b_O"] = (d,)
        if f:
            out[m + "W_in"], out[m + "W_out"] = (d, f), (f, d)
            if c.get("gated_mlp"):
                out[m + "W_gate"] = (d, f)
            if c["mlp_bias"]:
                out[m + "b_in"], out[m + "b_out"] = (f,), (d,)
    for name in norms:
        if c["norm"] != "none":
            out[name + ".w"] = (d,)
        if c["norm"] == "layer_norm":
            out[name + ".b"] = (d,)
    return out


def draw(rng, shape):
    """Multiples of 1/64: exact in f32 and short in JSON."""
    return rng.integers(-48, 49, size=shape) / 64.0


def main():
    rng = np.random.default_rng(0)
    base = dict(
        kind="transformer", n_layers=2, d_model=6, n_heads=2, n_kv_heads=2, d_head=3, d_mlp=5, d_vocab=7,
        d_vocab_out=7, n_ctx=5, act_fn="relu", norm="none", positions="learned", causal=True,
        attn_scale=1.75, attention_share=1.0, attn_bias=False, mlp_bias=True, unembed_bias=False,
    )
    variants = {
        "plain": {},
        "layer norm, all biases, gelu": dict(norm="layer_norm", act_fn="gelu", attn_bias=True, unembed_bias=True),
        "rms norm, four heads on two": dict(norm="rms_norm", n_heads=4, n_kv_heads=2, mlp_bias=False, d_vocab_out=3),
        "one kv head, biases, square": dict(n_heads=3, n_kv_heads=1, attn_bias=True, act_fn="square"),
        "attention only, both directions": dict(d_mlp=0, causal=False, positions="none", norm="layer_norm"),
        "attention share 0.3": dict(attention_share=0.3, causal=False, d_mlp=0, n_layers=1),
        "uniform attention, identity": dict(attention_share=0.0, causal=False, act_fn="identity"),
    }
    cases = []

    def record(name, changes):
        c = {**base, **changes}
        w = {k: draw(rng, s) for k, s in sorted(shapes(c).items())}
        inputs = [[int(t) for t in rng.integers(0, c["d_vocab"], size=4)] for _ in range(2)]
        runs = [transformer(c, w, t) for t in inputs]
        cases.append(dict(name=name, architecture=c, weights=w, inputs=inputs, hooks=runs))

    for name, changes in variants.items():
        record(name, changes)

    c = dict(kind="mlp", d_in=4, d_hidden=[5, 3], d_out=2, act_fn="gelu", bias=True)
    names = ["blocks.0.mlp.W_in", "blocks.0.mlp.b_in", "blocks.1.mlp.W_in", "blocks.1.mlp.b_in", "unembed.W_U", "unembed.b_U"]
    w = dict(zip(names, (draw(rng, s) for s in [(4, 5), (5,), (5, 3), (3,), (3, 2), (2,)])))
    inputs, runs = [draw(rng, 4) for _ in range(2)], []
    for x in inputs:
        one = activate("gelu", x @ w[names[0]] + w[names[1]])
        two = activate("gelu", one @ w[names[2]] + w[names[3]])
        runs.append({"blocks.0.mlp.hook_post": one, "blocks.1.mlp.hook_post": two, "hook_logits": two @ w[names[4]] + w[names[5]]})
    cases.append(dict(name="mlp", architecture=c, weights=w, inputs=inputs, hooks=runs))

    c = dict(kind="autoencoder", n_features=5, d_hidden=2, act_fn="relu")
    w = {"W": draw(rng, (2, 5)), "b_final": draw(rng, 5)}
    inputs = [draw(rng, 5) for _ in range(2)]
    runs = [{"hook_hidden": w["W"] @ x, "hook_logits": activate("relu", w["W"].T @ w["W"] @ x + w["b_final"])} for x in inputs]
    cases.append(dict(name="autoencoder", architecture=c, weights=w, inputs=inputs, hooks=runs))

    def rotary(base, dim, pairs):
        return dict(positions=dict(rotary=dict(base=base, dim=dim, pairs=pairs)))

    llama = dict(norm="rms_norm", act_fn="silu", gated_mlp=True, mlp_bias=False, n_heads=4, n_kv_heads=2, d_head=4)
    neox = dict(norm="layer_norm", act_fn="gelu_erf", attn_bias=True, parallel_attn_mlp=True, d_head=4)
    record("Llama's form", {**llama, **rotary(10000.0, 4, "halves"), "eps": 0.0009765625})
    record("Llama's form with biases of q, k, v (Qwen 2)", {**llama, **rotary(1e6, 4, "halves"), "qkv_bias": True})
    record("GPT-NeoX's form", {**neox, **rotary(10000.0, 2, "halves")})
    record("adjacent pairs, both directions (GPT-J)", {**neox, **rotary(100.0, 4, "adjacent"), "causal": False})

    def plain(x):
        if isinstance(x, (np.ndarray, list, tuple)):
            return [plain(y) for y in x]
        if isinstance(x, dict):
            return {k: plain(v) for k, v in x.items()}
        return round(float(x), 9) if isinstance(x, (float, np.floating)) else x

    print("[\n" + ",\n".join(json.dumps(plain(c), separators=(",", ":")) for c in cases) + "\n]")


main()
