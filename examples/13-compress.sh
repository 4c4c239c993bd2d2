#!/usr/bin/env bash
# A compiled program squeezed into fewer and fewer dimensions: interference of its variables, accuracy, and
# from where on the audit no longer finds the program. docs/organisms/rasp-compressed.md
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
flyroom() { "${FLYROOM:-$root/target/release/flyroom}" "$@"; }
cd "$(mktemp -d)"

# Short sequences and few steps, so that this takes seconds; the page has the long recipe.
for d in 9 6 3; do
    flyroom breed rasp-histogram-compressed --seeds 0..2 --out "d$d" \
        --set d_model=$d --set length=3 --set steps=3000
done

# The null: the same projections, random as they begin.
flyroom breed rasp-histogram-compressed --seeds 0..2 --out random --set d_model=6 --set length=3 --set steps=0

# Exit code 0 while the program holds, 1 where it does not.
for d in 9 6 3; do
    flyroom audit "d$d/rasp-histogram-compressed-0" || echo "d_model $d: contested"
done
