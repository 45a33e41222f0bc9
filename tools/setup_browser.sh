#!/usr/bin/env bash
# Set up what only tests and benchmarks need: a browser, for the monitor's page.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/system_packages.sh

browser() { command -v chromium || command -v chromium-browser || command -v google-chrome; }
need chromium browser
install_missing
say "browser for the tests: $(browser)"
