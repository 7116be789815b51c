#!/usr/bin/env bash
# Kills processes and brokers of a real Kafka for as long as told, and checks after each fault that
# nothing is lost and nothing is said twice (tests/kafka_chaos.rs, tests/faults.md).
#
#   tests/chaos.sh [--minutes N] [--seed S] [--wall] [--debug]
#
#   --minutes N   how long faults go on; without it, a short form of some minutes
#   --seed S      of the records, the order of the faults and their moments; random without it
#   --wall        the wall clock drives task time, and chains, uniqueness and scores are checked;
#                 otherwise records drive it, and every verdict is compared
#   --debug       the debug build instead of the release build
#
# Ends with what happened, in numbers. A run that fails says its seed and where the logs are.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  echo "usage: tests/chaos.sh [--minutes N] [--seed S] [--wall] [--debug]" >&2
  exit 2
}

profile=--release
test=whatever_dies_everything_is_said_once_as_if_nothing_had
while [ $# -gt 0 ]; do
  case $1 in
    --minutes) export BAROMETER_CHAOS_MINUTES=${2:?a number of minutes} && shift 2 ;;
    --seed) export BAROMETER_CHAOS_SEED=${2:?a number} && shift 2 ;;
    --wall) test=by_the_wall_clock_chains_hold_and_scores_end_up_right && shift ;;
    --debug) profile="" && shift ;;
    *) usage ;;
  esac
done

tests/kafka/broker.sh resolve
export BAROMETER_TEST_KAFKA_TOOL=$PWD/tests/kafka/tool.sh
# shellcheck disable=SC2086  # no profile is no argument
exec cargo test --locked $profile --test kafka_chaos -- --include-ignored --nocapture "$test"
