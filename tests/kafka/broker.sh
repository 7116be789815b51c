#!/usr/bin/env bash
# A real Kafka (KRaft) for tests, in a folder of its own.
#
#   tests/kafka/broker.sh start [--brokers N] [--while PID] [--secure] DIR
#       starts N brokers (default 1), waits until they answer, prints the bootstrap address;
#       with --while they also end soon after process PID has, however it ended;
#       with --secure they also have a listener with TLS, passwords and rights: see secure.sh
#   tests/kafka/broker.sh kill DIR ID      kills one broker (1..N) as a power cut would
#   tests/kafka/broker.sh resume DIR ID    starts a killed broker again, on the same port and data
#   tests/kafka/broker.sh stop DIR         stops them all; DIR itself is the caller's to remove
#   tests/kafka/broker.sh resolve          only gets the jars
#
# DIR/bootstrap holds the address, DIR/broker-ID/log what a broker said.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/java.sh"
. "$(dirname "${BASH_SOURCE[0]}")/secure.sh"

# Several brokers share one machine with the tests.
heap=512m
heap_of_several=400m
start_seconds_max=120
# Somebody else can take a port between our look and the broker's bind. Then all start again.
start_attempts_max=5

usage() {
  fail "usage: broker.sh start [--brokers N] [--while PID] [--secure] DIR | kill DIR ID | resume DIR ID | stop DIR | resolve"
}

start() {
  local brokers=1 while_pid="" secure=""
  while [ $# -gt 0 ]; do
    case $1 in
      --brokers) brokers=${2:?} && shift 2 ;;
      --while) while_pid=${2:?} && shift 2 ;;
      --secure) secure=yes && shift ;;
      -*) usage ;;
      *) break ;;
    esac
  done
  [ $# = 1 ] || usage
  case $brokers in [1-9]) ;; *) fail "--brokers is $brokers, expected 1 to 9" ;; esac
  mkdir -p "$1"
  dir=$(cd "$1" && pwd)
  [ ! -e "$dir/bootstrap" ] || fail "\`$dir\` already holds a Kafka: stop it first"
  need_kafka_libs

  # From here on a failure or a signal leaves nothing running.
  trap abandon EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  if [ -n "$while_pid" ]; then
    end_with "$while_pid" </dev/null >/dev/null 2>&1 &
  fi
  [ -z "$secure" ] || make_certificates "$dir/certificates"
  local attempt
  for ((attempt = 1; ; attempt++)); do
    lay_out "$brokers" "$secure"
    launch_all "$brokers" && break
    stop_all
    [ "$attempt" -lt "$start_attempts_max" ] \
      || fail "found no free ports in $start_attempts_max attempts"
  done
  answers || fail "the brokers started, but do not answer on $(cat "$dir/bootstrap.new")"
  mv "$dir/bootstrap.new" "$dir/bootstrap"
  trap - EXIT INT TERM HUP
  cat "$dir/bootstrap"
}

# Writes each broker's settings and formats its storage.
lay_out() {
  local brokers=$1 secure=$2 id ports voters="" bootstrap="" secure_bootstrap="" cluster formats=()
  local more=()
  # Random, so that a stranger on a reused port is refused; letters and digits only, since a
  # leading dash would be read as an option. 22 characters are Kafka's form of 16 bytes.
  cluster=$(head -c 96 /dev/urandom | base64 | tr -dc 'A-Za-z0-9' | cut -c 1-21)A
  mapfile -t ports < <(free_ports $((3 * brokers)))
  for ((id = 1; id <= brokers; id++)); do
    voters+=${voters:+,}$id@127.0.0.1:${ports[2 * id - 1]}
    bootstrap+=${bootstrap:+,}127.0.0.1:${ports[2 * id - 2]}
    secure_bootstrap+=${secure_bootstrap:+,}127.0.0.1:${ports[2 * brokers + id - 1]}
  done
  [ -z "$secure" ] || mapfile -t more < <(secure_format_arguments)
  for ((id = 1; id <= brokers; id++)); do
    rm -rf "${dir:?}/broker-$id"
    mkdir "$dir/broker-$id"
    settings "$brokers" "$id" "$voters" "${ports[2 * id - 2]}" "${ports[2 * id - 1]}" \
      >"$dir/broker-$id/server.properties"
    [ -z "$secure" ] || secure_settings "${ports[2 * id - 2]}" "${ports[2 * id - 1]}" \
      "${ports[2 * brokers + id - 1]}" >>"$dir/broker-$id/server.properties"
    (exec_kafka_class -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -- \
      kafka.tools.StorageTool format -t "$cluster" -c "$dir/broker-$id/server.properties" \
      ${more[@]+"${more[@]}"}) \
      </dev/null >"$dir/broker-$id/format.log" 2>&1 &
    formats+=($!)
  done
  for ((id = 1; id <= brokers; id++)); do
    wait "${formats[id - 1]}" || {
      cat "$dir/broker-$id/format.log" >&2
      fail "the storage of broker $id could not be formatted, Kafka's own message is above"
    }
  done
  [ -z "$secure" ] || echo "$secure_bootstrap" >"$dir/secure-bootstrap"
  echo "$bootstrap" >"$dir/bootstrap.new"
}

settings() {
  local brokers=$1 id=$2 voters=$3 port=$4 controller_port=$5
  local replicas=$((brokers < 3 ? brokers : 3))
  cat <<END
process.roles=broker,controller
node.id=$id
controller.quorum.voters=$voters
listeners=CLIENT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller_port
advertised.listeners=CLIENT://127.0.0.1:$port
listener.security.protocol.map=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=CLIENT
controller.listener.names=CONTROLLER
log.dirs=$dir/broker-$id/data
auto.create.topics.enable=false

# As many copies as there are brokers, three at most; with three, one may be killed.
default.replication.factor=$replicas
min.insync.replicas=$((replicas > 2 ? 2 : 1))
offsets.topic.replication.factor=$replicas
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=$replicas
transaction.state.log.min.isr=$((replicas > 2 ? 2 : 1))
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=$replicas
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1

# Tests do not wait for human time spans. A broker counts as dead after five seconds of silence.
broker.session.timeout.ms=5000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=6000
group.consumer.min.heartbeat.interval.ms=200
group.consumer.heartbeat.interval.ms=1000
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
transaction.remove.expired.transaction.cleanup.interval.ms=10000
log.initial.task.delay.ms=1000
log.cleaner.backoff.ms=500

# Test records carry timestamps of any year; retention would delete them as soon as it looked.
log.retention.ms=-1

# Small: several brokers share one machine with the tests.
log.cleaner.dedupe.buffer.size=8388608
num.network.threads=2
num.io.threads=4
END
}

# Prints ports nobody listens on, outside the range from which the system hands out ports for
# outgoing connections (such a port could be taken at any moment).
free_ports() {
  local wanted=$1 port taken=" "
  while [ "$wanted" -gt 0 ]; do
    port=$((RANDOM % 20000 + 10000))
    case $taken in *" $port "*) continue ;; esac
    taken+="$port "
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue
    echo "$port"
    wanted=$((wanted - 1))
  done
}

# Succeeds when every broker runs, returns 1 if one lost its port to somebody, fails for all else.
launch_all() {
  local brokers=$1 id
  for ((id = 1; id <= brokers; id++)); do launch "$id"; done
  for ((id = 1; id <= brokers; id++)); do await_started "$id" || return 1; done
}

launch() {
  local home=$dir/broker-$1
  # A background command of a script ignores Ctrl-C: whoever started the tests decides when the
  # broker goes, by `stop` or --while.
  (exec_kafka_class_detached "$home") &
  echo $! >"$home/pid"
}

exec_kafka_class_detached() {
  exec </dev/null >>"$1/log" 2>&1
  [ ! -d "$dir/broker-2" ] || heap=$heap_of_several
  exec_kafka_class "-Xmx$heap" "-Xms$heap" -Dkafka.log.level=INFO -- \
    kafka.Kafka "$1/server.properties"
}

# "Kafka Server started" comes last of all, after the controllers have let the broker in.
await_started() {
  local home=$dir/broker-$1 waited_tenths=0
  until grep -q 'Kafka Server started' "$home/log" 2>/dev/null; do
    if ! is_running "$home"; then
      grep -q 'Address already in use' "$home/log" && return 1
      tail -n 30 "$home/log" >&2
      fail "broker $1 ended while it started, the end of its log is above"
    fi
    [ "$waited_tenths" -lt $((start_seconds_max * 10)) ] || {
      tail -n 30 "$home/log" >&2
      fail "broker $1 was not up after $start_seconds_max s, the end of its log is above"
    }
    sleep 0.1
    waited_tenths=$((waited_tenths + 1))
  done
}

answers() {
  "$kafka_folder/tool.sh" org.apache.kafka.tools.TopicCommand \
    --bootstrap-server "$(cat "$dir/bootstrap.new")" --list </dev/null >/dev/null
}

# A process number alone proves little: it may belong to somebody else by now. So it has to be a
# child of this shell, or have a command line that names the broker's own folder.
is_running() {
  local pid
  pid=$(cat "$1/pid" 2>/dev/null) || return 1
  kill -0 "$pid" 2>/dev/null || return 1
  case " $(jobs -p | tr '\n' ' ') " in *" $pid "*) return 0 ;; esac
  tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -qxF "$1/server.properties"
}

# `start` did not get to its end.
abandon() {
  local children
  children=$(jobs -p)
  # shellcheck disable=SC2086  # a list of numbers
  [ -z "$children" ] || kill -KILL $children 2>/dev/null || true
  stop_all
}

# The data is thrown away, so nothing is lost by not waiting for a clean shutdown.
stop_all() {
  local home
  for home in "$dir"/broker-*; do
    [ ! -d "$home" ] || kill_broker "$home"
  done
  rm -f "$dir/bootstrap" "$dir/bootstrap.new" "$dir/secure-bootstrap"
}

kill_broker() {
  is_running "$1" || return 0
  local pid
  pid=$(cat "$1/pid")
  kill -KILL "$pid" 2>/dev/null || return 0
  wait "$pid" 2>/dev/null || true
  while is_running "$1"; do sleep 0.05; done
  rm -f "$1/pid"
}

# Ends the start, or the brokers, when the process they serve is gone: a trap cannot catch a
# SIGKILL. Looks on for as long as there is either.
end_with() {
  trap - EXIT INT TERM HUP
  while [ -e "$dir/bootstrap" ] || kill -0 $$ 2>/dev/null; do
    if ! kill -0 "$1" 2>/dev/null; then
      [ -e "$dir/bootstrap" ] || kill -TERM $$ 2>/dev/null || true
      stop_all
      return
    fi
    sleep 1
  done
}

# Sets `dir`, and `home` if a broker's number is named.
find_broker() {
  [ -e "$1/bootstrap" ] || fail "\`$1\` holds no running Kafka"
  dir=$(cd "$1" && pwd)
  home=$dir/broker-$2
  [ -d "$home" ] || fail "\`$dir\` has no broker $2"
}

[ $# -gt 0 ] || usage
command=$1
shift
case $command in
  start) start "$@" ;;
  stop)
    [ $# = 1 ] || usage
    [ -d "$1" ] || exit 0
    dir=$(cd "$1" && pwd)
    stop_all
    ;;
  kill)
    [ $# = 2 ] || usage
    find_broker "$@"
    kill_broker "$home"
    ;;
  resume)
    [ $# = 2 ] || usage
    find_broker "$@"
    ! is_running "$home" || fail "broker $2 is running"
    need_kafka_libs
    mv "$home/log" "$home/log.before-$(date +%s%N)"
    launch "$2"
    await_started "$2" || fail "somebody took the port of broker $2"
    ;;
  resolve) need_kafka_libs ;;
  *) usage ;;
esac
