#!/bin/bash
# Boots Debian's kernels in qemu and shows BPF objects to their verifiers: see README.md beside this file.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${KERNELS_CACHE:-$root/target/kernels}
wanted=${KERNELS:-6.1 6.12}
lines=${LOG_LINES:-400}
# What the loader may set, so that all of the programs is seen: a line for each way. An empty one is the object as it is.
ways=${LOAD_SETTINGS-"whom=1 with_wakers=1 with_on_cpu=1 with_kernel_threads=1 namespace_level=1 namespace_inode=1
whom=3 with_wakers=1 both=1 target_cgroup_level=2 min_block=1 state_mask=0x7f"}

usage() {
    echo "usage: $0 [OBJECT.o ...] [-- PROGRAM [ARGUMENT ...]]"
    exit 2
}

objects=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    case $1 in -*) usage ;; esac
    objects+=("$1")
    shift
done
[ $# -eq 0 ] || shift
program=("$@")
if [ ${#objects[@]} -eq 0 ] && [ ${#program[@]} -eq 0 ]; then
    objects=("$root/src/sampler/bpf/profile.x86_64.o")
fi
for file in "${objects[@]}" ${program[0]:+"${program[0]}"}; do
    [ -e "$file" ] || { echo "no such file: $file"; exit 2; }
done

# 77: this machine cannot; the caller says so and goes on.
cannot() {
    echo "cannot run kernels here: $*"
    exit 77
}

[ "$(uname -m)" = x86_64 ] || cannot "not an x86_64"
for tool in qemu-system-x86_64:qemu-system-x86 busybox:busybox-static cc:gcc cpio:cpio gzip:gzip; do
    command -v "${tool%%:*}" > /dev/null || cannot "no ${tool%%:*} (package ${tool#*:})"
done
[ -e /usr/lib/x86_64-linux-gnu/libbpf.a ] || cannot "no static libbpf (package libbpf-dev)"
mkdir -p "$cache"
work=$(mktemp -d "$cache/work.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Prints the path of the kernel of a series; downloads the newest that the package lists know, if none is here.
kernel() {
    local series=$1 found package
    found=$(find "$cache" -maxdepth 1 -name "vmlinuz-$series.*" | sort -V | tail -1)
    if [ -z "$found" ]; then
        package=$(apt-cache search --names-only "^linux-image-$series\\.[0-9.+a-z-]*-cloud-amd64\$" 2> /dev/null |
            awk '{print $1}' | sort -V | tail -1) || true
        [ -n "$package" ] || { echo "no package of Linux $series" >&2; return 1; }
        (
            cd "$work"
            apt-get download -q "$package" > download.log 2>&1 || { cat download.log >&2; exit 1; }
            dpkg -x "$package"_*.deb "$series"
            cp "$series"/boot/vmlinuz-* "$cache/"
            rm -rf "$series" "$package"_*.deb
        ) || return 1
        found=$(find "$cache" -maxdepth 1 -name "vmlinuz-$series.*" | sort -V | tail -1)
    fi
    echo "$found"
}

load=$cache/load
if [ ! -e "$load" ] || [ "$here/load.c" -nt "$load" ]; then
    cc -O2 -Wall -static "$here/load.c" -o "$work/load" -lbpf -lelf -lz
    mv "$work/load" "$load"
fi

# What is booted: busybox, the loader, the objects, and the program with the libraries that it needs.
image=$work/image
mkdir -p "$image"/{bin,dev,proc,sys,tmp,objects,program}
cp "$(command -v busybox)" "$image/bin/busybox"
cp "$load" "$image/bin/load"
if [ ${#objects[@]} -gt 0 ]; then cp "${objects[@]}" "$image/objects/"; fi
if [ ${#program[@]} -gt 0 ]; then
    cp "${program[0]}" "$image/program/"
    { ldd "${program[0]}" 2> /dev/null || true; } | grep -o '/[^ ]*' | while read -r library; do
        mkdir -p "$image/$(dirname "$library")"
        cp -L "$library" "$image/$library"
    done
    printf '%s\0' "/program/$(basename "${program[0]}")" "${program[@]:1}" > "$image/program/.command"
fi
cat > "$image/init" << EOS
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mount -t tmpfs none /tmp
mount -t tracefs none /sys/kernel/tracing 2> /dev/null
ip link set lo up 2> /dev/null
status=0
if [ -n "\$(ls /objects)" ]; then
    cd /objects
    while read -r way; do load -l $lines -s "\$way" *.o || status=1; done < /ways
fi
if [ -e /program/.command ]; then
    cd /tmp && xargs -0 env < /program/.command || status=1
fi
echo "STATUS \$status"
poweroff -f
EOS
chmod +x "$image/init"
printf '%s\n' "$ways" > "$image/ways"
(cd "$image" && find . | cpio -o -H newc --quiet | gzip -1) > "$work/initramfs"

# Where the processor has no virtualization for us, a /dev/kvm that opens is one that runs a kernel's early code instruction by
# instruction, and stops at those that it does not know: plain emulation boots in 9 s there.
accelerator=(-accel tcg)
if grep -qwE 'vmx|svm' /proc/cpuinfo && (exec 3<> /dev/kvm) 2> /dev/null; then
    accelerator=(-accel kvm -cpu host)
fi
patience=${KERNELS_SECONDS:-600}

status=0
for series in $wanted; do
    vmlinuz=$(kernel "$series") || cannot "Linux $series cannot be downloaded"
    echo "=== $(basename "$vmlinuz"), ${accelerator[1]}"
    begin=$SECONDS
    timeout "$patience" qemu-system-x86_64 "${accelerator[@]}" -smp 2 -m 2048 -nodefaults -no-reboot -display none \
        -serial stdio -kernel "$vmlinuz" -initrd "$work/initramfs" \
        -append "console=ttyS0 quiet loglevel=3 panic=-1 kernel.perf_event_paranoid=-1" < /dev/null 2>&1 |
        tr -d '\r' > "$work/console" || true
    # The firmware's and the boot loader's words, and the line that is for us.
    grep -av -e '^STATUS ' -e '^SeaBIOS' -e '^Booting from' -e '^iPXE' -e 'reboot: Power down' "$work/console" | sed 's/\x1b\[[0-9;?]*[a-zA-Z]//g; s/\x1bc//g' || true
    echo "=== $((SECONDS - begin)) s"
    if ! grep -aq '^STATUS 0$' "$work/console"; then
        grep -aq '^STATUS' "$work/console" || echo "it did not come to its end"
        status=1
    fi
done
[ $status -eq 0 ] || echo "FAILED"
exit $status
