#!/usr/bin/env bash
# Step 2: which edges does a network use, by removing them one at a time and by one gradient? Step
# 3: does the circuit predict interventions that neither has seen? The organism is written by hand,
# so the answer is known: token -> head of layer 0 -> keys of a head of layer 1.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
flyroom() { "${FLYROOM:-$root/target/release/flyroom}" "$@"; }
cd "$(mktemp -d)"

flyroom breed induction-compiled
specimen=specimens/induction-compiled-0
for method in exact-patching eap; do
  mkdir -p "$method"
  printf '\n%s\n' "$method"
  flyroom describe "$specimen" --method "$method" --out "$method/explanation.json"
  flyroom validate "$specimen" "$method/explanation.json"
done

# The card is data, too.
flyroom show exact-patching/card.json --json | grep '"verdict"'
