#!/usr/bin/env bash
# A plan: organisms x methods x seeds in TOML. The second run finds what the first one computed, and
# a plan that grows computes only what is new.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
flyroom() { "${FLYROOM:-$root/target/release/flyroom}" "$@"; }
cd "$(mktemp -d)"

cat > mine.toml << 'PLAN'
name = "mine"

[[organism]]
name = "superposition-5-2"
seeds = 3
set = { steps = 1000 }

[[method]]
step = "decompose"
name = "random"

[[method]]
step = "decompose"
name = "topk"
set = { steps = 1000 }
PLAN
flyroom run mine.toml --out mine
cp mine/board.json first.json
flyroom run mine.toml --out mine --quiet > again.txt
cmp first.json mine/board.json
echo "the second run found everything: $(cat mine/ledger/*.jsonl | grep -c '"found"') cells"

# A typo in a plan names its line and the nearest entry.
sed 's/topk/topkk/' mine.toml > typo.toml
! flyroom run typo.toml --out typo
