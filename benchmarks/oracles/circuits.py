"""Perfect and minimal circuits of networks that `flyroom breed boolean` or `absolute-value` left, for
docs/organisms/boolean.md.

    pip install numpy safetensors
    OMP_NUM_THREADS=1 python benchmarks/oracles/circuits.py FOLDER/boolean-0 FOLDER/boolean-1 ...

Prints for each folder how many subsets of the weights are perfect and how many of these are minimal: as the
page counts them, and where XOR has only to be on the right side of 1/2.
"""

import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file


def outputs(tensors, inputs, kept):
    """Answers [subset, input] of one hidden layer with the weights that are kept, W_in row by row, then W_U."""
    w, u = tensors["blocks.0.mlp.W_in"], tensors["unembed.W_U"]
    read = (kept[:, : w.size] * w.reshape(-1)).reshape(-1, *w.shape)
    post = np.maximum(np.einsum("xi,sij->sxj", inputs, read) + tensors["blocks.0.mlp.b_in"], 0)
    return np.einsum("sxj,sj->sx", post, kept[:, w.size :] * u.reshape(-1)) + tensors["unembed.b_U"]


def counts(perfect, bits):
    """How many subsets are perfect, and how many of them hold no other."""
    masks = np.arange(len(perfect))
    holds = perfect.copy()
    for i in range(bits):
        with_it = masks[masks >> i & 1 == 1]
        holds[with_it] |= holds[with_it ^ (1 << i)]
    inner = np.zeros_like(perfect)
    for i in range(bits):
        with_it = masks[masks >> i & 1 == 1]
        inner[with_it] |= holds[with_it ^ (1 << i)]
    return int(perfect.sum()), int((perfect & ~inner).sum())


for folder in sys.argv[1:]:
    tensors = {k: v.astype(np.float32) for k, v in load_file(Path(folder) / "model.safetensors").items()}
    xor = len(tensors["blocks.0.mlp.W_in"]) == 2
    bits = tensors["blocks.0.mlp.W_in"].size + tensors["unembed.W_U"].size
    if xor:
        inputs, wanted, tolerance = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]), np.array([0, 1, 1, 0]), 0.4
    else:
        inputs, tolerance = np.linspace(-1, 1, 101)[:, None], 0.05
        wanted = np.abs(inputs[:, 0])
    kept = (np.arange(1 << bits)[:, None] >> np.arange(bits) & 1).astype(np.float32)
    within, sides = [], []
    for some in np.array_split(kept, 64):
        y = outputs(tensors, inputs.astype(np.float32), some)
        within.append((np.abs(y - wanted) <= tolerance).all(1))
        sides.append(((y > 0.5) == (wanted > 0.5)).all(1))
    line = [Path(folder).name, "perfect, minimal", counts(np.concatenate(within), bits)]
    print(*line, *(["by sides of 1/2", counts(np.concatenate(sides), bits)] if xor else []))
