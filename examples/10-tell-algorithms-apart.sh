#!/usr/bin/env bash
# Seven pairs of networks that answer alike and compute by other programs, each in several random
# gauges and written anew in six ways. Which methods see that there are two algorithms in a pair,
# and only two? docs/metrics/mechanism-distance.md says how they are asked.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
flyroom() { "${FLYROOM:-$root/target/release/flyroom}" "$@"; }
cd "$(mktemp -d)"

echo 'name = "tell-algorithms-apart"' > plan.toml
moves=(permute rescale rotate split-neuron pad-neurons insert-layer)
n=0
for program in max max-one-hot reverse reverse-behind histogram histogram-by-token sort sort-counting \
  most-frequent most-frequent-tally pair-balance pair-balance-signed \
  fraction-previous fraction-previous-counted; do
  cat >> plan.toml << PLAN

[[organism]]
name = "rasp-$program"
seeds = 3
set = { length = 3 }

[[organism]]
name = "gauge-twin"
set = { of = "rasp-$program", move = "${moves[n++ % 6]}", set = { length = 3 } }
PLAN
done
for method in describe:exact-patching describe:eap describe:eap-ig decompose:pca decompose:random; do
  printf '\n[[method]]\nstep = "%s"\nname = "%s"\n' "${method%:*}" "${method#*:}" >> plan.toml
done
printf '\n[[metric]]\nname = "twin-auroc"\n' >> plan.toml

flyroom run plan.toml --out run | sed -n '/^Does it tell/,$p'
