#!/bin/sh
# A step of Buildkite: the gate, its report as an annotation of the build, and the gate's status.
#
#   buildkite.sh './base/prog args' './new/prog args'
set -u
reports=${REPORTS:-reports}
status=0
"$(dirname "$0")/gate.sh" "$@" || status=$?
case $status in
0) style=success ;;
3) style=warning ;;
*) style=error ;;
esac
if [ -s "$reports/report.md" ]; then
    buildkite-agent annotate --style "$style" --context profile < "$reports/report.md"
    buildkite-agent artifact upload "$reports/*"
fi
exit "$status"
