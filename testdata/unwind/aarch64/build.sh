#!/bin/sh
# Builds the programs of this folder, and runs them: writes NAME and NAME.snapshots. Needs clang, lld, llvm and qemu-user.
set -eu
cd "$(dirname "$0")"
build() {
    name=$1
    shift
    clang --target=aarch64-linux-gnu -march=armv8.3-a -O2 -ffreestanding -fno-stack-protector -fno-builtin -nostdlib -static \
        -fuse-ld=lld -Wl,--build-id=sha1 "$@" stacks.c -o "$name"
    # The environment and the name are on the stack.
    env -i qemu-aarch64 -cpu max "./$name" > "$name.snapshots"
}
build plain -fomit-frame-pointer -fasynchronous-unwind-tables
build frame_pointers -fno-omit-frame-pointer -mno-omit-leaf-frame-pointer -fasynchronous-unwind-tables
# Return addresses are signed.
build signed -fomit-frame-pointer -fasynchronous-unwind-tables -mbranch-protection=pac-ret+leaf
# Anywhere in memory; tables are in .debug_frame alone, and packed.
build debug_frame -fPIE -Wl,-pie -fomit-frame-pointer -fno-asynchronous-unwind-tables -fno-unwind-tables -g1 \
    -Wl,--compress-debug-sections=zlib
