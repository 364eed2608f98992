#!/usr/bin/env bash
# Runs every libFuzzer target of test/fuzz for 60 s (or FUZZ_SECONDS) under ASan + UBSan. Needs clang-14,
# libclang-rt-14-dev and libssl-dev; run after `npm run build`. A finding stays in build/fuzz/<target>.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${FUZZ_SECONDS:-60}

targets=$(make -s -j2 -f test/native/Makefile CXX=clang++-14 SANITIZE=address,undefined fuzz | tail -1)
[ -n "$targets" ] || { echo "test/fuzz has no *_fuzz.cc"; exit 1; }
for target in $targets; do
  name=$(basename "$target")
  work=build/fuzz/$name
  mkdir -p "$work/corpus"
  seeds=test/fuzz/corpus/$name
  echo "$name: $seconds s"
  "$target" "$work/corpus" $([ -d "$seeds" ] && echo "$seeds") -max_len=2048 -timeout=10 -rss_limit_mb=1024 \
    -max_total_time="$seconds" -print_final_stats=1 -verbosity=0 -print_funcs=0 -artifact_prefix="$work/"
done
