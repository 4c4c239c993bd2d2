"""The peers of W3: one step of a TopK dictionary by SAELens (dense, and with its sparse activations) and by PyTorch
restructured by hand. `workloads.py` starts this with what flyroom wrote: the data, the dictionary to start from and the samples
of every step.

  dense, sparse  SAELens' own TopKTrainingSAE and SAETrainer.step; use_sparse_activations off and on (on a CPU torch 2.15 cannot
                 go back through sparse latents that are rescaled by the decoder's norms, so `sparse` is without that)
  hand           no autograd: x W_enc dense, torch.topk, decode by embedding_bag, gradients of active latents alone (sums over
                 samples by sparse products), fused Adam

All keep 32 of 16,384 latents of 2,048 samples of 512 units, with Adam (1e-3, falling to 0 over the last fifth), no auxiliary loss,
no resampling. `hand` does what flyroom does: decoder rows lose the part of the gradient along them and have unit length
after each step. SAELens instead lets rows be free (and, dense, multiplies latents by their norms), keeps the gradient's norm below 1 and counts
firing latents. So its loss is the same at the start and near afterwards.
"""

import json
import resource
import sys
import time

K, ADAM = 32, dict(betas=(0.9, 0.999), eps=1e-8)


def loaded(folder, steps):
    """The batches of 1 + steps steps and of the one behind them, the dictionary, all in units of the data's deviation."""
    from safetensors.torch import load_file

    w = load_file(f"{folder}/W3.safetensors")
    x = w.pop("x").double()
    scale = ((x - x.mean(0)) ** 2).mean().sqrt()
    x = (x / scale).float()
    rows = [w.pop(f"rows{t}").long() for t in range(1, 65)]
    w["b_dec"] = (w["b_dec"].double() / scale).float()
    return [x[r].contiguous() for r in rows[: steps + 2]], w


def rate(t, total):
    return 1e-3 * min(1.0, (total + 1 - t) / (0.2 * total))


def sae_lens(sparse, batches, w):
    from sae_lens.config import LoggingConfig, SAETrainerConfig
    from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.training.sae_trainer import SAETrainer

    batch, d = batches[0].shape
    n, total = w["W_dec"].shape[0], len(batches) - 1
    cfg = TopKTrainingSAEConfig(
        d_in=d, d_sae=n, k=K, use_sparse_activations=sparse, rescale_acts_by_decoder_norm=not sparse, apply_b_dec_to_input=True, device="cpu")
    sae = TopKTrainingSAE(cfg)
    sae.load_state_dict(w)
    logger = LoggingConfig(log_to_wandb=False)
    cfg = SAETrainerConfig(total_training_samples=total * batch, train_batch_size_samples=batch, lr=1e-3, lr_end=1e-4, device="cpu", logger=logger)
    trainer = SAETrainer(cfg, sae, data_provider=iter(batches))

    def step(t):
        for group in trainer.optimizer.param_groups:
            group["lr"] = rate(t, total)
        trainer.step(batches[t - 1])
        trainer.n_training_steps += 1

    def loss(x):
        return ((sae(x) - x) ** 2).mean().item()

    return step, loss


def by_hand(batches, w):
    import torch

    F = torch.nn.functional
    batch, d = batches[0].shape
    total = len(batches) - 1
    # What belongs to a latent lies together.
    w_enc, b_enc, w_dec, b_dec = w["W_enc"].T.contiguous(), w["b_enc"], w["W_dec"], w["b_dec"]
    parameters = [w_enc, b_enc, w_dec, b_dec]
    optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=True, **ADAM)
    n = w_dec.shape[0]
    crow = torch.arange(0, batch * K + 1, K)

    def forward(x):
        centred = x - b_dec
        z, index = torch.topk(torch.addmm(b_enc, centred, w_enc.T), K, sorted=False)
        z.relu_()
        y = F.embedding_bag(index, w_dec, mode="sum", per_sample_weights=z) + b_dec
        return centred, z, index, x - y

    def step(t):
        x = batches[t - 1]
        centred, z, index, error = forward(x)
        back = error * (-2.0 / x.numel())
        # dz at active latents alone: k rows of the decoder for each sample.
        dz = torch.bmm(w_dec[index.flatten()].view(batch, K, d), back[:, :, None])[:, :, 0] * (z > 0)
        # Sums over the samples of each latent: the transpose of a sparse matrix [sample, latent].
        order = index.flatten().argsort(stable=True)
        latents = index.flatten()[order]
        starts = torch.searchsorted(latents, torch.arange(n + 1))
        samples = order // K
        rows = lambda v: torch.sparse_csr_tensor(starts, samples, v.flatten()[order], (n, batch))  # noqa: E731
        g_dec = rows(z) @ back
        g_dec -= (g_dec * w_dec).sum(1, keepdim=True) * w_dec
        w_enc.grad, w_dec.grad = rows(dz) @ centred, g_dec
        b_enc.grad = torch.zeros(n).index_add_(0, index.flatten(), dz.flatten())
        b_dec.grad = back.sum(0) - F.embedding_bag(index, w_enc, mode="sum", per_sample_weights=dz).sum(0)
        optimizer.param_groups[0]["lr"] = rate(t, total)
        optimizer.step()
        w_dec.div_(w_dec.norm(dim=1, keepdim=True))

    def loss(x):
        return (forward(x)[3] ** 2).mean().item()

    return step, loss


def main(form, folder, steps, threads):
    import torch

    torch.set_num_threads(threads)
    batches, w = loaded(folder, steps)
    if form == "hand":
        with torch.no_grad():
            step, loss = by_hand(batches, w)
    else:
        step, loss = sae_lens(form == "sparse", batches, w)
    with torch.no_grad():
        losses = [loss(batches[0])]
    seconds = []
    for t in range(1, len(batches)):
        start = time.perf_counter()
        with torch.set_grad_enabled(form != "hand"):
            step(t)
        seconds.append(time.perf_counter() - start)
    with torch.no_grad():
        losses.append(loss(batches[-1]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "losses": losses, "peak_kib": peak}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
