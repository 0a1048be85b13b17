#!/usr/bin/env bash
# Writes docs/decisions/README.md, the index of the decisions, from their titles. A test compares.
set -euo pipefail
cd "$(dirname "$0")/../docs/decisions"

{
  cat <<'TEXT'
# Decisions

What a successor might undo, and why it is so. Made by `scripts/decisions.sh`. Numbers are handed out before the work on a
decision begins, and are used once. A decision that no longer holds stays, and says which one took its place.

| number | title |
|---|---|
TEXT
  for file in [0-9]*.md; do
    title=$(head -n 1 "$file")
    echo "| [${file%%-*}]($file) | ${title#*: } |"
  done
} >README.md
