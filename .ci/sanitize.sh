#!/usr/bin/env bash
# C++ tests under ASan + UBSan and under TSan, then the addon's own tests with an addon built with ASan + UBSan.
# Run from anywhere after `npm run build`. Exits non-zero at the first finding.
set -euo pipefail
cd "$(dirname "$0")/.."
make="make -s -j2 -f test/native/Makefile"

echo "C++ tests under TSan"
$make SANITIZE=thread
echo "C++ tests under ASan and UBSan"
$make SANITIZE=address,undefined
$make SANITIZE=address,undefined addon
echo "The addon's tests under ASan and UBSan"
# Node itself is not instrumented: the sanitizers' run time comes first in the process, and V8's own memory that lives
# until exit is not a leak of ours.
env ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
  LD_PRELOAD="$(g++ -print-file-name=libasan.so):$(g++ -print-file-name=libubsan.so)" \
  TATTLER_PREBUILD="$PWD/build/test-native/address+undefined" \
  node node_modules/vitest/vitest.mjs run --dir test/native
