#!/usr/bin/env bash
# The same spec and seed give the same bits: with every kind of instruction, with any number of
# threads. A specimen can be cited by the hash of its weights.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
flyroom() { "${FLYROOM:-$root/target/release/flyroom}" "$@"; }
cd "$(mktemp -d)"

weights() { # organism, steps, more
  flyroom breed "$1" --set steps="$2" --out "$(mktemp -d)" --quiet --json "${@:3}" | grep '"weights"'
}
for line in "superposition-5-2 200" "induction 1 --set warmup=1"; do
  read -r organism steps more <<< "$line"
  printf '%s\n' "$organism"
  # shellcheck disable=SC2086
  weights "$organism" "$steps" $more | tee "$organism.txt"
  for way in "--threads 1" "--threads 3" "--kernels portable --threads 2"; do
    # shellcheck disable=SC2086
    weights "$organism" "$steps" $more $way | cmp - "$organism.txt"
    printf '    the same with %s\n' "$way"
  done
done
# Another seed is another network.
! weights superposition-5-2 200 --seeds 1..2 | cmp --silent - superposition-5-2.txt
