#!/bin/sh
# Makes the seeds of `symbolize`: the length of a program in four bytes, lowest first, the program, and the file beside it.
set -eu
cd "$(dirname "$0")"
seeds=$PWD/seeds/symbolize
folder=$(mktemp -d)
mkdir -p "$seeds"
cp symbolize.c "$folder"
cd "$folder"
flags="-O2 -nostdlib -static -fno-asynchronous-unwind-tables -fdebug-prefix-map=$folder=. -Wl,-z,noseparate-code -Wl,--build-id=none"
pack() {
	perl -e 'print pack("V", -s $ARGV[0])' "$2"
	cat "$2" "$3"
} >"$seeds/$1"
for version in 4 5; do
	gcc $flags -g -gdwarf-$version symbolize.c -o program
	pack "whole_$version" program /dev/null
	gcc $flags -gdwarf-$version -gsplit-dwarf -dumpbase symbolize -dumpdir ./ symbolize.c -o program
	pack "split_$version" program symbolize.dwo
	gcc $flags -g -gdwarf-$version symbolize.c -o program
	cp program twin
	dwz $([ $version = 4 ] || echo -5) -m common program twin
	pack "shared_$version" program common
done
clang $flags -gdwarf-5 -gsplit-dwarf -fno-split-dwarf-inlining symbolize.c -o program 2>/dev/null
llvm-dwp -e program -o program.dwp
pack package_5 program program.dwp
rm -r "$folder"
