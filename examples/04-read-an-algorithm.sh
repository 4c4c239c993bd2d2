#!/usr/bin/env bash
# A network that adds modulo 23, and an explanation that is a formula: a sum of cosines, executed
# without the network. It holds where the logits are such a sum (balanced phases); where phases are
# random it says less, and the card says so.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
flyroom() { "${FLYROOM:-$root/target/release/flyroom}" "$@"; }
cd "$(mktemp -d)"

for organism in modular-addition-analytic-balanced modular-addition-analytic; do
  printf '\n%s\n' "$organism"
  flyroom breed "$organism" --set modulus=23 --set width=66
  mkdir -p "$organism"
  flyroom describe "specimens/$organism-0" --method fourier --out "$organism/explanation.json" | head -8
  flyroom validate "specimens/$organism-0" "$organism/explanation.json"
done
