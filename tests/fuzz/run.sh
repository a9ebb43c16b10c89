#!/usr/bin/env bash
# tests/fuzz/run.sh PROGRAM --runs N      the same N inputs each time, from the seeds of the repository alone
# tests/fuzz/run.sh PROGRAM --seconds S   as many as there is time for, from the seeds and build/fuzz/corpus, which grows
#
# The seeds of a target are the files of corpus/TARGET: NAME.seed is text with \r, \n, \\ and \xNN for bytes, in which the
# ends of lines do not count, and # begins a comment line; any other file is a seed as it is. corpus/TARGET.dict, where
# there is one, has words of the format for libFuzzer.
set -euo pipefail
program=$1 how=$2 amount=$3
name=$(basename "$program")
sources=$(dirname "${BASH_SOURCE[0]}")/corpus
build=$(dirname "$program")/../..
build=$(cd "$build" && pwd)

# Small files come and go in memory.
memory=/dev/shm
[ -w "$memory" ] || memory=${TMPDIR:-/tmp}
TMPDIR=$(mktemp -d "$memory/chitchat-fuzz-XXXXXX")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

seeds=$TMPDIR/seeds
mkdir "$seeds"
for file in "$sources/$name"/*; do
    [ -f "$file" ] || continue
    to=$seeds/$(basename "$file" .seed)
    case $file in
    *.seed)
        grep -Iq '' "$file" || {
            echo "tests/fuzz/run.sh: $file is no text: give it a name without .seed, so that it is a seed as it is" >&2
            exit 2
        }
        grep -v '^#' "$file" | while IFS= read -r line; do printf '%b' "$line"; done >"$to"
        ;;
    *) cp "$file" "$to" ;;
    esac
done

# -timeout is for an endless loop, far above what any input takes on a busy machine.
options=(-max_len=140000 -timeout=300 -rss_limit_mb=2048 -print_final_stats=1 "-artifact_prefix=$build/$name-")
[ ! -f "$sources/$name.dict" ] || options+=("-dict=$sources/$name.dict")
case $how in
--runs)
    corpus=$TMPDIR/corpus
    options+=("-runs=$amount" -seed=1)
    ;;
--seconds)
    corpus=$build/corpus/$name
    options+=("-max_total_time=$amount")
    ;;
*)
    echo "tests/fuzz/run.sh: $how is neither --runs nor --seconds" >&2
    exit 2
    ;;
esac
mkdir -p "$corpus"
log=$TMPDIR/log
if "$program" "${options[@]}" "$corpus" "$seeds" >"$log" 2>&1; then
    grep -E '^(Done|stat::number_of_executed_units|stat::new_units_added)' "$log" || true
    exit 0
fi
tail -n 80 "$log"
input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
if [ -z "$input" ]; then
    echo "$name failed, and wrote no input: see above" >&2
    exit 1
fi
cat >&2 <<TEXT
$name failed. Its input is kept: $input
Repeat:        $program $input
Make it small: $program -minimize_crash=1 -runs=100000 -exact_artifact_path=$input.small $input
Once it is mended, add the input to tests/fuzz/corpus/$name as a seed with a name that says what went wrong.
TEXT
exit 1
