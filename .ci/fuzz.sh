#!/usr/bin/env bash
# Runs every fuzz target of test/fuzz for 25 s (or FUZZ_SECONDS), as many at once as there are cores: libFuzzer under
# ASan + UBSan on datagrams and stream chunks, and hostile turns of frames on the decoder and the roster. Needs
# clang-14, libclang-rt-14-dev and libssl-dev; run after `npm run build`. A finding stays in build/fuzz/<target>.
# FUZZ_TARGETS picks some of them.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${FUZZ_SECONDS:-25}
names=${FUZZ_TARGETS:-packet_fuzz chunk_fuzz frame_fuzz}

make -s -j2 -f test/native/Makefile CXX=clang++-14 SANITIZE=address,undefined fuzz >/dev/null
npx tsc -p test/fuzz/tsconfig.json

# fuzz NAME: one target on one core.
fuzz() {
  local name=$1 work=build/fuzz/$1
  mkdir -p "$work/corpus"
  echo "$name: $seconds s"
  if [ "$name" = frame_fuzz ]; then
    # Little memory, so that what allocates without bound is found.
    node --max-old-space-size=256 build/fuzz-js/test/fuzz/frame_fuzz.js --seconds "$seconds" --findings "$work"
  else
    "build/test-native/address+undefined-fuzz/test/fuzz/$name" "$work/corpus" "test/fuzz/corpus/$name" -max_len=2048 \
      -timeout=10 -rss_limit_mb=1024 -max_total_time="$seconds" -print_final_stats=1 -verbosity=0 -print_funcs=0 \
      -artifact_prefix="$work/"
  fi
}

# As many at once as there are cores; each tells its figures as it ends.
export -f fuzz
export seconds
mkdir -p build/fuzz
# shellcheck disable=SC2086
printf '%s\n' $names | xargs -P "$(nproc)" -I{} bash -c \
  'fuzz {} >build/fuzz/{}.log 2>&1; status=$?; cat build/fuzz/{}.log; exit $status'
