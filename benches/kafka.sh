#!/usr/bin/env bash
# benches/kafka.rs on a Kafka of its own, which is stopped again at the end.
#
#   benches/kafka.sh [throughput|restore|handover]
#
# Needs what tests/all.sh needs: a JVM and Maven. BAROMETER_TEST_BOOTSTRAP=host:port takes a Kafka that
# is there already and may be littered. Takes some minutes, and some GB of disk under TMPDIR.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo bench --locked --bench kafka --no-run

if [ -z "${BAROMETER_TEST_BOOTSTRAP:-}" ]; then
  scratch=$(mktemp -d "${TMPDIR:-/tmp}/barometer-bench.XXXXXX")
  clean_up() {
    tests/kafka/broker.sh stop "$scratch/kafka" || true
    rm -rf "$scratch"
  }
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  BAROMETER_TEST_BOOTSTRAP=$(tests/kafka/broker.sh start --while $$ "$scratch/kafka")
fi
export BAROMETER_TEST_BOOTSTRAP
cargo bench --locked --bench kafka -- "$@"
