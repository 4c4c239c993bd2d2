#!/usr/bin/env bash
# Step 1: take the two hidden units apart with four methods, and ask whether the parts are the true
# ones. Look at the null: in two dimensions eight random directions are near everything, so an MCC
# of .97 says nothing there.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
flyroom() { "${FLYROOM:-$root/target/release/flyroom}" "$@"; }
cd "$(mktemp -d)"

flyroom breed superposition-5-2 --set steps=4000
specimen=specimens/superposition-5-2-0
for method in neurons pca random topk; do
  printf '\n%s\n' "$method"
  flyroom decompose "$specimen" --method "$method" --out "parts/$method"
  flyroom validate "$specimen" "parts/$method"
done

# A dictionary is a SAELens folder: other tools can open it, and theirs can be put on trial here.
ls parts/topk
