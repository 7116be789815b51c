# Finds, or where it may installs, a JVM and Maven, and resolves Kafka's jars with them.
# Sourced by broker.sh and tool.sh; defines functions and runs nothing.
#
#   BAROMETER_KAFKA_LIBS   folder to keep the jars in (default: tests/kafka/.cache/libs)

kafka_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

fail() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

java_command() {
  if [ -n "${JAVA_HOME:-}" ] && [ -x "$JAVA_HOME/bin/java" ]; then
    echo "$JAVA_HOME/bin/java"
  else
    command -v java
  fi
}

# The JVM's feature release, as in `openjdk version "17.0.15"`; 0 without a JVM that works.
java_release() {
  local java version
  java=$(java_command) || { echo 0; return; }
  version=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)
  echo "${version:-0}"
}

# Kafka's brokers and tools need Java 17. Only a root shell on a Debian machine installs anything:
# elsewhere it is not ours to decide how.
need_java() {
  [ "$(java_release)" -ge 17 ] && return
  install_packages openjdk-17-jre-headless default-jre-headless
  [ "$(java_release)" -ge 17 ] || fail "$needs_message"
}

need_maven() {
  command -v mvn >/dev/null && return
  install_packages maven
  command -v mvn >/dev/null || fail "$needs_message"
}

needs_message='needs a JVM 17 or newer and Maven: install e.g. Debian'"'"'s `openjdk-17-jre-headless` and `maven`'

# Installs the first of the named packages that this Debian release has.
install_packages() {
  { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; } || fail "$needs_message"
  apt-get -q update >&2 </dev/null || true
  local package
  for package in "$@"; do
    apt-cache show "$package" >/dev/null 2>&1 || continue
    echo "installing $package" >&2
    DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "$package" \
      >&2 </dev/null || fail "\`apt-get install $package\` failed"
    hash -r
    return
  done
}

# Sets `kafka_libs` to a folder that holds every jar of pom.xml, asking Maven only if it is new. The
# folder is named for the pom's contents and moved into place whole, so that a changed pom, an
# interrupted download or two callers at once never leave a mixture behind.
need_kafka_libs() {
  need_java
  local root=${BAROMETER_KAFKA_LIBS:-$kafka_folder/.cache/libs} half_done said
  kafka_libs=$root/$(cksum <"$kafka_folder/pom.xml" | tr ' ' '-')
  [ -d "$kafka_libs" ] && return
  need_maven
  mkdir -p "$root"
  half_done=$(mktemp -d "$root/resolving.XXXXXX")
  if ! said=$(mvn -q -B -f "$kafka_folder/pom.xml" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$half_done" 2>&1 </dev/null); then
    rm -rf "$half_done"
    echo "$said" >&2
    fail "Maven could not resolve Kafka's jars, its own message is above"
  fi
  mv -T "$half_done" "$kafka_libs" 2>/dev/null || rm -rf "$half_done"
  [ -d "$kafka_libs" ] || fail "\`$kafka_libs\` could not be made"
}

# A class of Kafka's own, in place of this shell. JVM options come first, up to `--`.
exec_kafka_class() {
  local options=()
  while [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  shift
  exec "$(java_command)" "${options[@]}" \
    -Dlog4j2.configurationFile="$kafka_folder/log4j2.properties" \
    -cp "$kafka_libs/*" "$@"
}
