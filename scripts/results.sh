# Sourced, not run: reads what tests print (libtest's format) and counts.
# shellcheck shell=bash

# The output without colours and carriage returns.
plain() { tr -d '\r' | sed 's/\x1b\[[0-9;]*m//g'; }

# Whether every test that was announced has a result, and there is any.
complete() { # file
  plain <"$1" | awk '
    /^running [0-9]+ tests?$/ { announced += $2 }
    $1 == "test" && / \.\.\. (ok|FAILED|ignored)/ { ended++ }
    END { exit announced == ended && ended > 0 ? 0 : 1 }'
}

# From the output of tests to lines `NAME RESULT [REASON]`, one per test; RESULT is ok, FAILED or ignored. Of a
# test that ran several times, a failure counts before a success, and that before an `ignored`; but a success at a
# second attempt, which says so in its reason, counts before the failure.
results() {
  plain | awk '
    $1 == "test" && match($0, / \.\.\. /) {
      rest = substr($0, RSTART + RLENGTH)
      # A name may have words: `name (3.0.11) ... ok`.
      name = substr($0, 6, RSTART - 6); sub(/ +$/, "", name); gsub(/ /, "_", name)
      result = rest; sub(/[ ,].*/, "", result)
      if (result != "ok" && result != "FAILED" && result != "ignored") next
      # `ignored (why)` of libtest-mimic, `ignored, why` of the standard one.
      reason = rest; if (!sub(/^[a-zA-Z]+(, | )/, "", reason)) reason = ""
      weight = reason ~ /second attempt/ ? 4 : result == "FAILED" ? 3 : result == "ok" ? 2 : 1
      if (!(name in best)) order[++count] = name
      if (weight > best[name]) { best[name] = weight; line[name] = name " " result (reason == "" ? "" : " " reason) }
    }
    END { for (i = 1; i <= count; i++) print line[order[i]] }'
}

# `passed | failed | ignored` of such lines; an exit code that no failure explains counts as one.
counts() { # file, exit code
  awk -v code="$2" '
    { n[$2]++ }
    END {
      failed = n["FAILED"] + 0
      print n["ok"] + 0, "|", failed == 0 && code != "0" ? "not all ended (" code ")" : failed, "|", n["ignored"] + 0
    }' "$1"
}

# The lines of what failed, was ignored, or has something to say.
notable() { awk '$2 != "ok" || NF > 2' "$1"; }
