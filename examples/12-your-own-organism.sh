#!/usr/bin/env bash
# A network of your own form, trained on a task of your own: two files, no Rust. Beside it on the board stands
# the same task compiled, whose inside is known. docs/your-own-organism.md
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
flyroom() { "${FLYROOM:-$root/target/release/flyroom}" "$@"; }
cd "$(mktemp -d)"

cat > count.rasp << 'RASP'
# How often does the token of each position occur?
vocabulary: a b c
length: 4

count = selector_width(select(tokens, tokens, ==))
return count
RASP

cat > mine.toml << 'TOML'
[task]
program = "count.rasp"

[architecture]
n_layers = 1
d_model = 32

[recipe]
steps = 600
TOML

# Two seeds, and the null: the same network before its first step.
flyroom breed mine.toml --seeds 0..2
flyroom breed mine.toml --out null --set steps=0

# The trained network and the compiled one on one board.
cat > plan.toml << 'PLAN'
name = "trained-and-compiled"

[[organism]]
file = "mine.toml"
seeds = 2

[[organism]]
program = "count.rasp"

[[method]]
step = "describe"
name = "eap"
PLAN
flyroom run plan.toml

# A slip of the pen is pointed at.
sed 's/steps/stpes/' mine.toml > slip.toml
! flyroom breed slip.toml
