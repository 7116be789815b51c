#!/usr/bin/env bash
# Runs one of Kafka's command-line tools, of the version pinned in pom.xml:
#
#   tests/kafka/tool.sh CLASS ARGUMENTS...
#
# for instance (the classes behind kafka-topics.sh and its siblings):
#
#   org.apache.kafka.tools.TopicCommand              --bootstrap-server HOST:PORT --list
#   org.apache.kafka.tools.ConsoleProducer           --bootstrap-server HOST:PORT --topic NAME
#   org.apache.kafka.tools.consumer.ConsoleConsumer  --bootstrap-server HOST:PORT --topic NAME --from-beginning
#   org.apache.kafka.tools.consumer.group.ConsumerGroupCommand
#   org.apache.kafka.tools.GetOffsetShell
#   org.apache.kafka.tools.TransactionsCommand
#   org.apache.kafka.tools.DeleteRecordsCommand
#   kafka.admin.ConfigCommand
#
# The tool's standard input, output and exit code are passed through; logs go to standard error.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/java.sh"

[ $# -gt 0 ] || fail "usage: tests/kafka/tool.sh CLASS ARGUMENTS..."
need_kafka_libs
# A tool lives for a second or two: the quick compiler and the small collector start it soonest.
exec_kafka_class -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -- "$@"
