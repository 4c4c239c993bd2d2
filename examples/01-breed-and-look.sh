#!/usr/bin/env bash
# Breed an organism and the twin that must fail: five sparse features in two dimensions, with ReLU
# and without. Only the first becomes a pentagon; a loss_ratio of 1 is the best linear map.
#
# Needs the binary: cargo build --release (or FLYROOM=path/to/flyroom).
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
flyroom() { "${FLYROOM:-$root/target/release/flyroom}" "$@"; }
cd "$(mktemp -d)"

flyroom breed superposition-5-2 --seeds 0..3 --set steps=4000
flyroom breed superposition-5-2-linear --seeds 0..3 --set steps=4000

# What a specimen is: a spec, a hash of its weights, and what was measured.
flyroom show specimens/superposition-5-2-0
ls specimens/superposition-5-2-0

# Every seed has the pentagon, no seed of the twin has.
count() { flyroom breed "$1" --seeds 0..3 --set steps=4000 --quiet --json | grep -c "\"pentagon\": $2"; }
[[ "$(count superposition-5-2 true)" == 3 ]]
[[ "$(count superposition-5-2-linear false)" == 3 ]]
