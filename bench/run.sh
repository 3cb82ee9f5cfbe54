#!/usr/bin/env bash
# Runs the bench with all arguments, after what its peers need beside Go was
# installed where it is missing: as root with apt; otherwise one line to paste is
# printed, and what is missing is reported as such.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin

missing=()
command -v redis-server >/dev/null || missing+=(redis-server)
command -v node >/dev/null && command -v npm >/dev/null || missing+=(nodejs npm)
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
command -v postgres >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || missing+=(postgresql)

if ((${#missing[@]})) && [[ " $* " != *" --quick "* ]]; then
  if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    printf 'bench: installing %s\n' "${missing[*]}" >&2
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
  else
    printf 'bench: these peers need more; this installs it: sudo apt-get install -y %s\n' "${missing[*]}" >&2
  fi
fi
exec go run . "$@"
