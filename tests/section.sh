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

# OpenSSL is built along with the feature `tls`, and is configured by a Perl program: with the modules
# of a whole perl, which Debian's `perl-base` is not.
need_tls_tools() {
  perl -MFindBin -MIPC::Cmd -MTime::Piece -MFile::Compare -e 1 2>/dev/null || {
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
      apt-get -q update >&2 </dev/null || true
      DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install perl >&2 </dev/null
    else
      echo "OpenSSL is built with perl and its usual modules: install e.g. Debian's \`perl\`" >&2
      return 1
    fi
  }
  command -v make >/dev/null || {
    echo "OpenSSL is built with make: install e.g. Debian's \`make\`" >&2
    return 1
  }
}
