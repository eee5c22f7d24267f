#!/usr/bin/env bash
# What an update costs on the wire, beside a full download and one-file deltas.
# Prints a row of a Markdown table for each pair of directories DIR/PAIR/{old,new}
# of consecutive releases; bench/delta/fetch.sh fetches real ones.
# Usage: bench/wire.sh DIR PAIR...        Needs: zstd, jq, and a built updraft-publisher.
set -euo pipefail
dir=${1:?usage: bench/wire.sh DIR PAIR...}; shift
publisher=${PUBLISHER:-${CARGO_TARGET_DIR:-target}/release/updraft-publisher}

# Every changed file of the newer tree against the file of the same path, or
# alone where there is none: what the best general tool makes of it.
patch_from() { # OLD NEW
    local total=0 size work; work=$(mktemp -d)
    while IFS= read -r -d '' file; do
        cmp -s "$1/$file" "$2/$file" && continue
        if [ -f "$1/$file" ]; then
            zstd -19 --ultra --long=31 -qf --patch-from="$1/$file" "$2/$file" -o "$work/delta" 2>/dev/null
        else
            zstd -19 -qf "$2/$file" -o "$work/delta"
        fi
        size=$(stat -c %s "$work/delta"); total=$((total + size))
    done < <(cd "$2" && find . -type f -print0)
    rm -r "$work"; echo "$total"
}

echo '| pair | full download | `zstd -19 --patch-from`, deltas alone | our update | of it metadata | manifests | deltas | made in, CPU | applied in, CPU | memory to apply |'
echo '|---|---|---|---|---|---|---|---|---|---|'
for pair in "$@"; do
    old=$dir/$pair/old new=$dir/$pair/new
    "$publisher" diff "$old" "$new" --verify --json | jq -r --arg pair "$pair" --argjson other "$(patch_from "$old" "$new")" '
        def kb: . / 10 | round / 100 | tostring;
        "| \($pair) | \(.full_bytes | kb) | \($other | kb) | **\(.update_bytes | kb)** | \(.metadata_bytes | kb) | \(.manifest_bytes | kb) | \(.delta_bytes | kb) | \(.encode_cpu_seconds * 10 | round / 10) s | \(.apply_cpu_seconds * 100 | round / 100) s | \(.apply_peak_bytes / 100000 | round / 10) MB |" +
        (if .verified then "" else " NOT EQUAL" end)'
done
