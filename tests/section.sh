# Headings with the seconds since the start, and the toolchain parts the steps need.
# Sourced by all.sh and .ci/run.

section_now=start

# `SECONDS` is the shell's own count; a script started by another one goes on from its count.
SECONDS=${BAROMETER_TEST_SECONDS:-0}

section() {
  section_now=$1
  printf '\n=== %s (%d s) ===\n' "$1" "$SECONDS"
}

# A toolchain of rustup's minimal profile has neither of these.
need_component() {
  cargo "$1" --version >/dev/null 2>&1 && return
  rustup component add "$2"
}
