#!/usr/bin/env bash
# ./dev wall [--minutes N] [--rate N] [--connections N] [--dir DIR] [--btree]: fills a store with 20 M messages of 1 M
# users; then sends to uniform users, open loop, with checkpoints and merges. The server is on CPU 0, the generator on
# CPU 1. Needs some 45 GB below DIR for 10 minutes. --btree instead measures one LMDB B-tree with as many rows, for 30 s.
set -euo pipefail
minutes=10 rate=100000 connections=4 dir=. btree=0 port=${WALL_PORT:-9203} bin=build/release
while [ $# -gt 0 ]; do
    case $1 in
    --minutes) minutes=$2 && shift 2 ;;
    --rate) rate=$2 && shift 2 ;;
    --connections) connections=$2 && shift 2 ;;
    --dir) dir=$2 && shift 2 ;;
    --btree) btree=1 && shift ;;
    *) echo "./dev wall: unknown option $1" >&2 && exit 2 ;;
    esac
done
work=$(mktemp -d "$dir/wall-XXXXXX")
pid=
finish() {
    [ -z "$pid" ] || kill "$pid" 2>/dev/null || true
    [ -z "$pid" ] || wait "$pid" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

if [ "$btree" = 1 ]; then
    $bin/wall-btree "$work/tree.mdb" 20000000 1000000 1000 30
    exit
fi
echo "filling the store"
$bin/wall-fill "$work/data" 20000000 1000000
sync
taskset -c 0 $bin/chitchat serve --data "$work/data" --listen "127.0.0.1:$port" --frame-rate 0 --send-rate 0 \
    2>"$work/log" &
pid=$!
for _ in $(seq 100); do
    grep -q event=ready "$work/log" && break
    sleep 0.2
done
grep -q event=ready "$work/log" || { cat "$work/log" >&2; exit 1; }
taskset -c 1 $bin/chitchat-load --connections "$connections" --rate "$rate" --recipients 1000000 --warmup 5 \
    --duration "$((minutes * 60))" --server-pid "$pid" "127.0.0.1:$port" || echo "chitchat-load ended with $?"
echo "threads of the server, CPU in 1/$(getconf CLK_TCK) s (user, system):"
for task in /proc/"$pid"/task/*; do
    echo "  $(cat "$task/comm"): $(sed 's/.*) //' "$task/stat" | cut -d' ' -f12,13)"
done
grep -E '^(read|write)_bytes' "/proc/$pid/io"
kill "$pid"
wait "$pid" || true
pid=
echo "passed if: the rate was acknowledged, no line says busy, p99 at most 5 ms, runs_most at most 24"
grep -vE 'event=(ready|stopping)' "$work/log"
