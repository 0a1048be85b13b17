#!/usr/bin/env bash
# Writes docs/decisions/README.md, the index of the decisions, from their titles. A test compares.
set -euo pipefail
cd "$(dirname "$0")/../docs/decisions"

{
  cat <<'TEXT'
# Decisions

What a successor might undo, and why it is so. Made by `scripts/decisions.sh`. A number that is missing below belongs to
nothing: numbers were given out before the work began, and some, the first of them 0019, were never used.

| number | title |
|---|---|
TEXT
  for file in [0-9]*.md; do
    title=$(head -n 1 "$file")
    echo "| [${file%%-*}]($file) | ${title#*: } |"
  done
} >README.md
