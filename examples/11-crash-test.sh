#!/usr/bin/env bash
# The crash test: traps are networks made to break one kind of method; beside each stands its control
# arm, the same network but for what breaks the method. The matrix says which method breaks where.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
flyroom() { "${FLYROOM:-$root/target/release/flyroom}" "$@"; }
cd "$(mktemp -d)"

matrix() { sed -n '/^Which methods do the traps break/,/^Verdicts/{/^Verdicts/!p}'; }
flyroom run crash-test --out run --quiet | matrix

# Each entry with the share of every seed, those of the control arm, and the rows behind it.
cat run/crash-test.csv

# A method under test is a line in the plan: here one gradient, averaged over two points only.
cat >> run/plan.toml << 'PLAN'

[[method]]
step = "describe"
name = "eap-ig"
set = { steps = 2 }
organisms = ["trap-saturated-gate", "trap-cancelling-paths", "trap-spare-heads"]
PLAN
flyroom run run/plan.toml --out run --quiet | matrix
