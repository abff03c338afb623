#!/bin/sh
# Makes the recordings of this folder anew, and expected.txt from what perf says of each. Needs root, gcc, perf and util-linux.
#
# They are recorded under a host name of their own, in a folder whose name is in the recordings.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
place=/tmp/profile-fixtures
if [ "${1:-}" != inside ]; then
    exec unshare --uts --cgroup --mount sh "$here/record.sh" inside
fi
hostname fixture
rm -rf "$place"
mkdir "$place"
gcc -static -nostdlib -O1 -fno-omit-frame-pointer -mgeneral-regs-only -Wl,--build-id -o "$place/work" "$here/work.c"
mkdir -p "$here/root$place"
cp "$place/work" "$here/root$place/work"
cd "$place"
# Build ids are not copied to a cache; the environment does not matter.
# perf 6.1 dies now and then of reading the kernel's build id (`assertion failed at util/build-id.c:1010`): it is tried again.
record() {
    for _ in 1 2 3 4 5 6 7 8; do
        perf --no-pager --buildid-dir "$place/cache" record -q -N "$@" && return
    done
    return 1
}

# Three events, each with a period of its own, and call graphs by frame pointers.
record -e cpu-clock/period=1000000/ -e page-faults/period=1/ -e context-switches/period=1/ --call-graph fp \
    -o three_events.data ./work burn 20
# The same recording, as a stream.
perf inject -i three_events.data -o - > three_events_pipe.data
# A recording that was written as a stream.
record -B -e cpu-clock/period=1000000/ -e page-faults/period=1/ -g -o - ./work burn 10 > pipe.data
# Copies of the stack.
record -e cpu-clock/period=2000000/ --call-graph dwarf,1024 -o dwarf.data ./work burn 20
# Task switches, with the record of when a task comes back.
record -e sched:sched_switch --switch-events -g -o switches.data ./work wait 8
# A folder, with a file for each CPU.
record --threads -e cpu-clock/period=1000000/ -e page-faults/period=1/ -g -o threads.dir ./work burn 20
# Compressed.
record -z -e cpu-clock/period=1000000/ -e page-faults/period=1/ -g -o compressed.data ./work burn 20
# Namespaces, and a control group for each sample.
record --namespaces --all-cgroups -e cpu-clock/period=1000000/ -g -o namespaces.data ./work burn 5
# All that a software event can carry.
record -e cpu-clock/period=4000000/ -e page-faults/period=4/ -g -d --phys-data --data-page-size --code-page-size --sample-cpu \
    --all-cgroups --intr-regs=ax,ip,sp --user-regs=bp,sp,ip -W -T -o fields.data ./work burn 20
# perf was killed: the header has no size of the data, and no sections follow.
perf record -q -N -e cpu-clock/period=1000000/ -g -m 8 -o killed.data ./work burn 1000 &
perf=$!
while [ "$(stat -c %s killed.data 2> /dev/null || echo 0)" -lt 20000 ]; do sleep 0.01; done
kill -9 $perf
wait $perf || true

# perf reads no file that was not finished: a copy in which the size of the data stands, at byte 48.
mkdir finished
size=$(($(stat -c %s killed.data) - $(od -An -tu8 -j40 -N8 killed.data)))
{
    head -c 48 killed.data
    for byte in 0 8 16 24 32 40 48 56; do printf "\\$(printf %03o $((size >> byte & 255)))"; done
    tail -c +57 killed.data
} > finished/killed.data

# What perf reads of each.
{
    echo "# FILE EVENT SAMPLES: perf report --stats (of killed.data, with the size of the data set)"
    for file in [a-jl-z]*.data finished/killed.data threads.dir; do
        perf report --stats -i "$file" 2> /dev/null | awk -v file="${file#finished/}" '
            / stats:$/ { event = $1 } / SAMPLE events:/ && event != "" && event != "Aggregated" { print file, event, $3 }'
    done
    echo "# FILE FUNCTION NANOSECONDS: from each sched_switch in it to the next IN of perf script --show-switch-events"
    perf script --ns --show-switch-events -F comm,tid,time,event,ip,sym -i switches.data 2> /dev/null | awk '
        $1 == "work" { split($3, time, /[.:]/); now = time[1] * 1000000000 + time[2] }
        /sched:sched_switch/ { out = now; name = "" }
        $2 == "long_wait" || $2 == "short_wait" { name = $2 }
        /PERF_RECORD_SWITCH/ && / IN/ && out { waited[name] += now - out; out = 0 }
        END { for (name in waited) printf "switches.data %s %d\n", name, waited[name] }' | sort
} > expected.txt
perf --version
uname -r
ls -la "$place"
cat expected.txt
cp -r ./*.data threads.dir expected.txt "$here/"
rm -rf "$place"
