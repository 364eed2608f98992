#!/usr/bin/env bash
# C++ tests, and both threads at once, under TSan and under ASan + UBSan + LeakSanitizer; then the addon's own tests
# with an addon built with TSan, and the test suite with one built with ASan + UBSan. Needs libssl-dev; run from
# anywhere after `npm run build`. Exits non-zero at the first finding.
set -euo pipefail
cd "$(dirname "$0")/.."
make="make -s -j2 -f test/native/Makefile"

echo "C++ tests under TSan"
$make SANITIZE=thread
$make SANITIZE=thread race
$make SANITIZE=thread addon
echo "C++ tests under ASan, UBSan and LeakSanitizer"
export UBSAN_OPTIONS=print_stacktrace=1
ASAN_OPTIONS=detect_leaks=1 $make SANITIZE=address,undefined
ASAN_OPTIONS=detect_leaks=1 $make SANITIZE=address,undefined race
$make SANITIZE=address,undefined addon

# vitest FLAVOUR LIBRARIES ARGUMENTS...: Node itself is not instrumented, so the sanitizer comes first in the process.
vitest() {
  local flavour=$1 libraries=$2 preload=""
  shift 2
  for library in $libraries; do preload+=":$(g++ -print-file-name="$library.so")"; done
  LD_PRELOAD=${preload#:} TATTLER_PREBUILD="$PWD/build/test-native/$flavour" \
    node node_modules/vitest/vitest.mjs run --dir test --testTimeout 180000 --hookTimeout 60000 --maxWorkers 100% "$@"
}

echo "The addon's tests under TSan"
# What V8 and libuv do among themselves is invisible, and no business of ours.
TSAN_OPTIONS="ignore_noninstrumented_modules=1 report_signal_unsafe=0 halt_on_error=1" \
  vitest thread libtsan test/native
echo "The test suite under ASan and UBSan"
# V8's own memory that lives until exit is not a leak of ours. Left out: what never loads the addon, what measures, and
# what takes minutes of real time.
ASAN_OPTIONS=detect_leaks=0 vitest "address+undefined" "libasan libubsan" --exclude "**/swim/**" \
  --exclude "**/{tidy,parity}.test.ts" --exclude "**/{bench,chaos,soak}/**" --exclude "**/sim/experiments.test.ts"
