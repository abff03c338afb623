#!/bin/sh
# Posts a report as the comment of a pull request, or updates the one that is there, by the report's marker.
#
#   post-comment.sh report.md PULL-REQUEST-NUMBER      needs gh, GH_TOKEN and GITHUB_REPOSITORY
#
# The report comes from a job that ran a stranger's code: it is text, and nothing here runs or expands any of it.
set -eu
report=$1 number=$2
case $number in '' | *[!0-9]*) echo "not the number of a pull request: $number" >&2; exit 2 ;; esac
marker=$(grep -o '^<!-- flameprofile-gate: [A-Za-z0-9._]* -->$' "$report" | tail -n 1)
if [ -z "$marker" ] || [ "$(wc -c < "$report")" -gt 65000 ]; then
    echo "$report is no report of profile" >&2
    exit 2
fi
# Only a comment of this very bot is written over: anybody may write the marker into a comment of their own.
MARKER=$marker BOT=${BOT:-github-actions[bot]}
export MARKER BOT
id=$(gh api --paginate "repos/$GITHUB_REPOSITORY/issues/$number/comments" \
    --jq '.[] | select(.user.login == env.BOT and (.body | contains(env.MARKER))) | .id' | head -n 1)
if [ -n "$id" ]; then
    gh api --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$id" --field "body=@$report" > /dev/null
    echo "updated comment $id"
else
    gh api --method POST "repos/$GITHUB_REPOSITORY/issues/$number/comments" --field "body=@$report" > /dev/null
    echo "posted a comment"
fi
