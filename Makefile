# What a developer types. Each target is what .ci/run calls, so that both mean the same.

.PHONY: check test tidy lint docs debug figures accuracy names agreement bench validate bpf bpf-check kernels bless

# Format, lints as errors, docs as errors, tests (the tidy test is one of them).
check: lint docs test debug

# The one test command of the README. Optimized: the figures are those of the program that is installed.
test:
	cargo test --release

# The rules of the house alone: seconds.
tidy:
	cargo test --test tidy

lint:
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo clippy --all-targets --no-default-features -- -D warnings

docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items

# The unit tests and the fuzz seeds once more, with debug assertions and overflow checks.
debug:
	cargo test --lib --test fuzz_seeds

# The figures with what was measured.
figures:
	cargo test --release --test figures -- --nocapture --test-threads=1

# Whether stacks are right, by a register of the program and by where they end, beside perf's: every kind of program that can be built
# here (about ten minutes).
accuracy:
	cargo bench --bench stacks

# Whether frames are named, of each kind of language, beside perf in its best way (about ten minutes).
names:
	cargo bench --bench names

# Stacks frame by frame beside those of libdw (elfutils), on the same recordings.
agreement:
	cargo test --release --test unwound -- --nocapture --test-threads=1

# Whether a gate on profiles tells changes from chance: an hour of recording (it goes on where it was broken off), then the table.
validate:
	cargo bench --bench validate

# Goal and measured, a line each.
bench:
	cargo bench --bench cost
	cargo bench --bench off_cpu
	cargo bench --bench finish
	cargo bench --bench accuracy
	cargo bench --bench import_text
	cargo bench --bench import
	cargo bench --bench unwind
	cargo bench --bench bpf_tables
	cargo bench --bench render
	cargo bench --bench browser
	cargo bench --bench gate
	cargo bench --bench symbols

# The BPF programs of src/sampler/bpf, for each processor, from their C: the bytes that are checked in. Which compiler makes them is
# part of that; paths of this machine are not (the folder of the sources becomes `.`).
BPF_CLANG = clang-19
BPF_STRIP = llvm-strip-19
BPF_SOURCES = src/sampler/bpf/c
BPF_INTO = src/sampler/bpf
BPF_FLAGS = -O2 -g -target bpf -mcpu=v3 -Wall -Wextra -Werror -Wno-unused-parameter

bpf:
	mkdir -p $(BPF_INTO)
	@into=$$(realpath $(BPF_INTO)) && cd $(BPF_SOURCES) && set -e && for pair in x86_64:x86 aarch64:arm64; do \
		object=$$into/profile.$${pair%:*}.o; \
		$(BPF_CLANG) $(BPF_FLAGS) -D__TARGET_ARCH_$${pair#*:} -fdebug-compilation-dir=. -ffile-prefix-map=$$PWD=. \
			-c profile.bpf.c -o $$object; \
		$(BPF_STRIP) -g $$object; \
		echo "$$object: $$(wc -c < $$object) bytes"; \
	done

# Whether the objects that are checked in are what the sources compile to.
bpf-check:
	@$(MAKE) --no-print-directory bpf BPF_INTO=target/bpf
	@set -e; same=0; for object in target/bpf/profile.*.o; do \
		cmp $$object src/sampler/bpf/$${object##*/} || same=1; \
	done; if [ $$same -ne 0 ]; then \
		echo "objects checked in were made from other sources, or by another compiler than this (\`make bpf\` makes them):"; \
		$(BPF_CLANG) --version | head -1; $(BPF_STRIP) --version | grep -i version; \
		grep -H '' /usr/include/bpf/libbpf_version.h 2> /dev/null | grep define.*_VERSION; exit 1; \
	fi

# Whether the verifiers of Debian's kernels 6.1 and 6.12 take our programs, in qemu (half a minute; tests/kernels/README.md).
kernels:
	tests/kernels/run.sh

# Rewrites the expected output of golden tests; read the difference before it is committed.
bless:
	BLESS=1 cargo test
