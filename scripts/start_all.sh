#!/usr/bin/env bash
# Start the listener, which does the work of all three former loops, and append its log to logs/listener.log below the
# folder that this is called from. It stays in the foreground: a signal and the exit code are the listener's own.
#
#   scripts/start_all.sh            needs what `listener run` needs: DATABASE_URL, SHIPSTATION_API_KEY, ...
#   scripts/start_all.sh --dry-run  arguments go to `listener run`
set -euo pipefail
folder=$PWD
source "$(dirname "${BASH_SOURCE[0]}")/bootstrap"
ensure_venv
mkdir -p "$folder/logs"
say "the log goes to $folder/logs/listener.log"
exec "$VENV/bin/listener" run "$@" 2>>"$folder/logs/listener.log"
