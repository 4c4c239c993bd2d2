"""Records a small torch.nn.GRU on tokens, in float64, as a fixture for crates/network.

Its matrices [3 hidden, input], gates r, z, n below one another, are taken apart and transposed; of the two biases of r and
of z, which are only ever added, the fixture holds the sum. Needs PyTorch; recorded with 2.15.

    python benchmarks/oracles/gru.py > crates/network/tests/it/gru.json
"""

import json

import torch

VOCAB, OUT, EMBED, HIDDEN, INPUTS, POS = 5, 4, 3, 6, 3, 5

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
embed = torch.nn.Embedding(VOCAB, EMBED)
gru = torch.nn.GRU(EMBED, HIDDEN, batch_first=True)
unembed = torch.nn.Linear(HIDDEN, OUT)
tokens = torch.randint(VOCAB, (INPUTS, POS))

with torch.no_grad():
    # Larger than the default, so that gates leave the middle of their range.
    for p in gru.parameters():
        p *= 3
    # What is recorded is what f32 can hold.
    for p in [*embed.parameters(), *gru.parameters(), *unembed.parameters()]:
        p.copy_(p.float().double())
    bias_r, bias_z = (gru.bias_ih_l0 + gru.bias_hh_l0)[: 2 * HIDDEN].chunk(2)
    states, _ = gru(embed(tokens))
    logits = unembed(states)

weights = {"embed.W_E": embed.weight, "unembed.W_U": unembed.weight.T, "unembed.b_U": unembed.bias}
for side, matrix in [("i", gru.weight_ih_l0), ("h", gru.weight_hh_l0)]:
    for gate, rows in zip("rzn", matrix.chunk(3)):
        weights[f"cell.W_{side}{gate}"] = rows.T
weights["cell.b_r"], weights["cell.b_z"] = bias_r, bias_z
weights["cell.b_in"], weights["cell.b_hn"] = gru.bias_ih_l0[2 * HIDDEN :], gru.bias_hh_l0[2 * HIDDEN :]

print(
    json.dumps(
        {
            "torch": torch.__version__,
            "weights": {name: w.detach().tolist() for name, w in weights.items()},
            "tokens": tokens.tolist(),
            "states": states.tolist(),
            "logits": logits.tolist(),
        }
    )
)
