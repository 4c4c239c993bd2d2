#!/usr/bin/env bash
# A network of your own: a program in RASP, seen step by step, compiled to weights, its truth put to the
# network itself, a method put on trial, and the board. docs/rasp.md teaches the language.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
flyroom() { "${FLYROOM:-$root/target/release/flyroom}" "$@"; }
cd "$(mktemp -d)"

cat > different.rasp << 'RASP'
# How many tokens differ from that of each position?
vocabulary: a b c
length: 4

different = selector_width(select(tokens, tokens, !=))
return different
RASP
flyroom show different.rasp
flyroom show different.rasp --prompt "a b b c"

# The network computes it on every input, and every variable lies where the compiler put it.
flyroom breed different.rasp
flyroom audit specimens/different-0

# What does a method find that knows nothing of the program?
mkdir found
flyroom describe specimens/different-0 --method exact-patching --out found/explanation.json
flyroom validate specimens/different-0 found/explanation.json

cat > mine.toml << 'PLAN'
name = "mine"

[[organism]]
program = "different.rasp"
seeds = 2
set = { length = 3 }

[[method]]
step = "describe"
name = "exact-patching"

[[method]]
step = "describe"
name = "eap"
PLAN
flyroom run mine.toml

# A slip of the pen is pointed at.
sed 's/selector_width/selector_with/' different.rasp > slip.rasp
! flyroom show slip.rasp
