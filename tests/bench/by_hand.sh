#!/usr/bin/env bash
# What people write: it checks less than we do, and a kill in the middle leaves it half done.
set -euo pipefail
index=$1 keys=$2 mode=$3 stamp=$4
cd "$(dirname "$index")"
cp -p "$index" "$index.bak-$stamp"
sync "$index.bak-$stamp"
pick='($names | map({(.): true}) | add) as $named | with_entries(select(($named[.key] == true) == $wanted))'
jq --slurpfile named "$keys" --argjson wanted "$([ "$mode" = keep ] && echo true || echo false)" \
    '$named[0] as $names | '"$pick" "$index" > "$index.tmp"
jq -r --slurpfile named "$keys" --argjson wanted "$([ "$mode" = keep ] && echo false || echo true)" \
    '$named[0] as $names | '"$pick"' | .[].sessionFile' "$index" > "$index.gone"
sync "$index.tmp"
mv "$index.tmp" "$index"
while read -r file; do mv -n "$file" "$file.deleted.$stamp"; done < "$index.gone"
rm "$index.gone"
sync .
