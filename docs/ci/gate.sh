#!/bin/sh
# The gate of a CI job: records both builds in turn on this machine, and writes what every server reads.
#
#   gate.sh './base/prog args' './new/prog args' [options of `profile compare`]
#
# Into $REPORTS (default: reports): report.md report.html report.json report.junit.xml report.sarif status.
# Ends with what the gate says: 0 pass, 1 regression, 2 failed, 3 inconclusive (asked for here).
set -u
if [ $# -lt 2 ]; then
    echo "usage: gate.sh 'BASE COMMAND' 'NEW COMMAND' [options of profile compare]" >&2
    exit 2
fi
base=$1 new=$2
shift 2
reports=${REPORTS:-reports}
mkdir -p "$reports" || exit 2
# What an earlier job left there must not pass for what this one found.
rm -f "$reports"/report.md "$reports"/report.html "$reports"/report.json "$reports"/report.junit.xml "$reports"/report.sarif "$reports"/status
# As many runs as it takes are not so many runs.
runs="-k ${RUNS:-8}"
for option in "$@"; do
    case $option in --until-decided | --until-decided=*) runs= ;; esac
done
# shellcheck disable=SC2086
profile compare $runs -F "${RATE:-2000}" ${MARGIN:+--margin "$MARGIN"} --base "$base" --new "$new" --gate --fail-on inconclusive \
    -o "$reports/report.html" --report "$reports/report.md" --report "$reports/report.json" \
    --report "$reports/report.junit.xml" --report "$reports/report.sarif" "$@"
status=$?
# A later step may ask for the status where a server does not hand it on.
echo "$status" > "$reports/status"
exit "$status"
