#!/bin/sh
# A regression in a real crate, gated as a CI job does it: serde_json as it is, against serde_json with one line changed.
#
#   run.sh FOLDER [options of `profile compare`]        `profile` and cargo must be in PATH; crates.io is asked for serde_json
#
# The change is one that a review may well let pass: where strings are written, `from_utf8_unchecked` (unsafe, proven by the lines above it) becomes
# the checked `from_utf8`. Two comparisons are made: the crate against itself, built twice, and against the changed one.
# Into FOLDER/same and FOLDER/changed: the reports of docs/ci/gate.sh.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=$1
shift
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
version=1.0.154

build() {
    mkdir -p "$folder/$1/src"
    cp "$here/main.rs" "$folder/$1/src/main.rs"
    cat > "$folder/$1/Cargo.toml" <<TOML
[package]
name = "app"
edition = "2024"
[dependencies]
serde_json = "=$version"
$2
[profile.release]
debug = 1
[workspace]
TOML
    (cd "$folder/$1" && CARGO_TARGET_DIR="$folder/$1/target" cargo build --release --quiet)
}

build base ''
build again ''
crate=$(cd "$folder/base" && cargo metadata --format-version 1 |
    sed -n 's/.*"manifest_path":"\([^"]*serde_json-'"$version"'\)\/Cargo.toml".*/\1/p')
rm -rf "$folder/serde_json"
cp -r "$crate" "$folder/serde_json"
chmod -R u+w "$folder/serde_json"
sed -i 's/unsafe { str::from_utf8_unchecked(\(string_run\|bytes\)) }/str::from_utf8(\1).unwrap()/' "$folder/serde_json/src/ser.rs"
if cmp -s "$crate/src/ser.rs" "$folder/serde_json/src/ser.rs"; then
    echo "nothing was changed" >&2
    exit 2
fi
build changed "[patch.crates-io]
serde_json = { path = \"$folder/serde_json\" }"

for new in again changed; do
    status=0
    REPORTS="$folder/reports-$new" sh "$here/../../../docs/ci/gate.sh" "$folder/base/target/release/app" "$folder/$new/target/release/app" "$@" ||
        status=$?
    echo "$new: exit status $status"
done
