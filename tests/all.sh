#!/usr/bin/env bash
# The one test command: formatting, lints, every test, and the tests that need a real Kafka.
#
#   tests/all.sh
#
#   BAROMETER_TEST_BOOTSTRAP   use this Kafka (host:port,...) instead of starting one. It has to
#                              allow topics to be made, and be one that may be littered.
#
# tests/kafka_chaos.rs starts three brokers of its own, and kills them for some minutes; its long form is
# tests/chaos.sh.
#
# A Kafka test is marked `#[ignore = "needs Kafka: tests/all.sh"]`, so that a plain `cargo test`
# needs nothing; here they run with the others. Nothing is ever skipped: no Kafka is a failure.
# (`--include-ignored` reaches doc tests too: mark a block that is no test ```text, not ```ignore.)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/section.sh

scratch=$(mktemp -d "${TMPDIR:-/tmp}/barometer-tests.XXXXXX")
kafka_start=""

clean_up() {
  local code=$?
  trap '' INT TERM HUP
  # Still starting: it takes down what it has put up, and only then is nothing left to stop.
  if [ -n "$kafka_start" ]; then
    kill "$kafka_start" 2>/dev/null || true
    wait "$kafka_start" 2>/dev/null || true
  fi
  tests/kafka/broker.sh stop "$scratch/kafka" || true
  if [ "$code" != 0 ]; then
    grep -hE ' (WARN|ERROR|FATAL) ' "$scratch"/kafka/broker-*/log 2>/dev/null | tail -n 20 \
      | sed 's/^/kafka: /' >&2 || true
  fi
  rm -rf "$scratch"
  [ "$code" = 0 ] || echo "tests/all.sh: failed in \"$section_now\"" >&2
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Kafka needs some seconds to come up; the compiler has enough to do in the meantime.
if [ -z "${BAROMETER_TEST_BOOTSTRAP:-}" ]; then
  section "start Kafka (in the background)"
  tests/kafka/broker.sh start --while $$ "$scratch/kafka" \
    >"$scratch/kafka-start.out" 2>"$scratch/kafka-start.err" </dev/null &
  kafka_start=$!
else
  section "Kafka is $BAROMETER_TEST_BOOTSTRAP"
  tests/kafka/broker.sh resolve
fi

# Everything is built and tested as it is shipped, and once: with TLS in it.
need_tls_tools
features=(--features tls)

section "cargo fmt"
need_component fmt rustfmt
cargo fmt --check

section "cargo clippy"
need_component clippy clippy
cargo clippy --all-targets --locked "${features[@]}" -- -D warnings

section "build the tests"
cargo test --locked "${features[@]}" --no-run

section "wait for Kafka"
if [ -n "$kafka_start" ]; then
  kafka_code=0
  wait "$kafka_start" || kafka_code=$?
  kafka_start=""
  [ "$kafka_code" = 0 ] || {
    cat "$scratch/kafka-start.err" >&2
    echo "tests/all.sh: Kafka did not start" >&2
    exit 1
  }
  BAROMETER_TEST_BOOTSTRAP=$(cat "$scratch/kafka-start.out")
fi
export BAROMETER_TEST_BOOTSTRAP
export BAROMETER_TEST_KAFKA_TOOL=$PWD/tests/kafka/tool.sh
echo "Kafka answers on $BAROMETER_TEST_BOOTSTRAP"

section "cargo test"
# A test that hangs fails within 40 minutes instead of holding everything.
limit=""
if command -v timeout >/dev/null; then limit="timeout --foreground 2400"; fi
$limit cargo test --locked "${features[@]}" --no-fail-fast -- --include-ignored

section "barometer test, on the scorecards"
cargo run --quiet --locked "${features[@]}" -- test config/scorecards/*.yaml tests/scorecards/*.yaml tests/scenarios/*.yaml

section "done"
