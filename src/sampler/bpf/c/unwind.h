/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * From registers to the addresses of a user stack, by the tables that the loader has put into the heap.
 *
 *   address --> mapping --> table, page --> row --> rule --> caller
 *
 * It follows instruction, stack and frame pointer, as the fast walk of `src/unwind/unwinder.rs` does, and where that needs more
 * it ends and says why.
 */
#pragma once

/* `fp` is that of the begin; it is noted down already. */
#define FP_BEGIN 0
#define FP_NOTED 1

/* A stack under work. It is in a map: as much would not fit on the stack of a program. */
struct walk {
    u64 ip;
    u64 sp;
    u64 fp;
    u64 lr; /* the link register, as long as it is that of the frame; 0 otherwise */
    u64 fp_at; /* where `fp` was read; FP_BEGIN, FP_NOTED */
    u64 key; /* of the user's frames */
    u64 check;
    u64 kernel_key;
    u64 kernel_check;
    /* The mapping that the last address was in: mostly the next one is in it too. */
    u64 begin;
    u64 size;
    u64 in_table; /* address in its table of what is at `begin` */
    u64 image;
    u32 table; /* first block; 0 if there is none */
    u32 is_go;
    u32 mappings; /* block */
    u32 count;
    u32 frames;
    u32 kernel_frames;
    u32 end;
    u32 by;
    u32 called;   /* 1: `ip` is a return address */
    u32 epoch; /* of the process */
    u32 may_guess; /* whether frame pointers may lead on where a file has no table for its code */
};

#define ALL_FRAMES 8192

/*
 * All that a walk to the root of a stack has read of it. As long as each word is the same, and the registers and what is mapped
 * are, the next walk leads to the same frames: then it is enough to look at these words.
 */
#define KEPT_READS 128
#define KEPT_BYTES 8192 /* from the stack pointer on: what lies further up is not kept */
#define KEPT_NOTHING (~0U)

/*
 * The same of the kernel's part, whose walk is the kernel's own: where on the stack its return addresses are is not told, but that
 * they are there. So every word is kept that is one of them, those by chance too. It is where it was, seen from the arguments of the
 * program: how far the registers of user mode are from there is another number for each system call (RANDOMIZE_KSTACK_OFFSET,
 * include/linux/randomize_kstack.h), of which only the outermost frame has its return address on the far side, next to them. If
 * all these words are the same, the walk is: its first step reads a word in the same place, finds the same caller there, and so on.
 */
#define KEPT_KERNEL_WORDS 64
#define KEPT_KERNEL_BYTES 4096 /* from the arguments on: what lies further up is not kept */
#define KEPT_KERNEL_FRAMES 32
#define KEPT_KERNEL_INNERMOST 4 /* so many may be those that have called the program: they are below its arguments, and always the same */

struct kept {
    u64 ip, sp, fp, lr;
    u64 list;
    u64 kernel_begin; /* where the arguments of the program are; of what is kept it is not looked at */
    u64 kernel_top;   /* where the registers of user mode are; 0 if that is not asked; not looked at either */
    u64 kernel_last;  /* the word next to them, if it is the outermost return address; 0 if not */
    u64 kernel_key, kernel_check;
    u32 kernel_frames;
    u32 kernel_words; /* 0: nothing */
    u32 kernel_bytes; /* so many from the arguments on cover all */
    u32 kernel_misses; /* how often the user's part was the same and the kernel's was not known to be */
    u64 kernel_word[KEPT_KERNEL_WORDS];
    u32 kernel_is[KEPT_KERNEL_WORDS]; /* of which frames it is the return address, a bit for each */
    u16 kernel_at[KEPT_KERNEL_WORDS]; /* words from the arguments on */
    u64 key, check; /* of the frames */
    u32 frames;
    u32 bytes; /* so many cover all */
    u32 reads; /* KEPT_NOTHING: something was read that cannot be kept */
    u32 uses_fp; /* 1: the frame pointer of the begin has led somewhere */
    u64 words[KEPT_READS];
    u16 at[KEPT_READS]; /* words from the stack pointer on */
};

struct scratch {
    struct walk walk;
    struct kept kept;
    u64 address;
    struct stack_event event; /* with the frames behind it, as it is sent */
    /* Those of the kernel, then those of the user; a power of two, so that a mask holds an index in. */
    u64 frames[ALL_FRAMES];
};

/* For each CPU and each kind of program one: an interrupt may find a program at work. */
enum scratch_of { OF_SWITCH = 0, OF_EVENT = 1, OF_WAKING = 2, SCRATCH_KINDS = 3 };

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, SCRATCH_KINDS); /* the loader sets it: by the number of CPUs */
    __type(key, u32);
    __type(value, struct scratch);
} scratches SEC(".maps");

/* For each CPU a number of them, a power of two, found by the registers. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1); /* the loader sets it */
    __type(key, u32);
    __type(value, struct kept);
} kept_stacks SEC(".maps");

const volatile u32 kept_bits = 0; /* of how many a CPU has, logarithm */

struct block {
    u32 words[BLOCK_WORDS];
};

struct segment {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, SEGMENT_BLOCKS);
    __uint(key_size, sizeof(u32));
    __uint(value_size, BLOCK_WORDS * 4);
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, SEGMENTS);
    __type(key, u32);
    __array(values, struct segment);
} heap SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, RULES);
    __type(key, u32);
    __type(value, u64);
} rules SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 8192);
    __type(key, u32);
    __type(value, struct process);
} processes SEC(".maps");

static __always_inline struct block *block_of(u32 block) {
    u32 segment = block / SEGMENT_BLOCKS, within = block % SEGMENT_BLOCKS;
    void *map = bpf_map_lookup_elem(&heap, &segment);
    if (!map) return 0;
    return bpf_map_lookup_elem(map, &within);
}

/* All ones if a < b, without a jump: what follows is verified once, not once a way. */
static __always_inline u64 is_less(u64 a, u64 b) {
    return (u64)((s64)(a - b) >> 63);
}

/* Makes the mapping of an address the one we are in. */
static __always_inline int enter(struct walk *walk, u64 address) {
    if (address - walk->begin < walk->size) return 1;
    struct block *block = block_of(walk->mappings);
    if (!block) return 0;
    struct mapping *mappings = (struct mapping *)block;
    u64 page = address >> 12, at = 0, count = walk->count;
    /* The last one that begins at or below the address; of those behind `count` none is looked at. */
#pragma unroll
    for (u32 half = MAPPING_SLOTS / 2; half; half /= 2) {
        u64 next = (at + half) & (MAPPING_SLOTS - 1);
        u64 begin = mappings[next].first >> 24;
        u64 is_below = is_less(begin, page + 1) & is_less(next, count);
        at += half & is_below;
        /* The compiler knows that the mask above takes nothing away; the verifier of 6.1 does not, and wants to see it. */
        asm volatile("" : "+r"(at));
    }
    at &= MAPPING_SLOTS - 1;
    u64 first = mappings[at].first, second = mappings[at].second;
    u64 begin = first >> 24, pages = first & 0xffffff;
    if (page - begin >= pages) return 0;
    walk->begin = begin << 12;
    walk->size = pages << 12;
    walk->table = second >> 40;
    walk->in_table = (second >> 16 & 0xffffff) << 12;
    walk->image = second & 0xffff;
    walk->is_go = 0;
    return 1;
}

static __always_inline u64 rotated(u64 word, int by) {
    return word << by | word >> (64 - by);
}

/* Takes a word into two hashes. */
static __always_inline void mix(u64 *key, u64 *check, u64 word) {
    *key = rotated(*key ^ word, 29) * 0x9e3779b97f4a7c15ULL;
    *check = (rotated(*check, 23) + word) * 0xd6e8feb86659fd93ULL;
}

static __always_inline void push(struct scratch *scratch, u64 frame) {
    struct walk *walk = &scratch->walk;
    frame |= (u64)walk->by << FRAME_BY_SHIFT;
    mix(&walk->key, &walk->check, frame);
    scratch->frames[(walk->kernel_frames + walk->frames) & (ALL_FRAMES - 1)] = frame;
    walk->frames++;
}

static __always_inline u64 frame_of(struct walk *walk, u64 address) {
    if (!walk->image) return FRAME_RAW | (address & ((1ULL << 56) - 1));
    u64 in_table = walk->in_table + (address - walk->begin);
    return walk->image << FRAME_IMAGE_SHIFT | (in_table & ((1ULL << FRAME_ADDRESS_BITS) - 1));
}

#define NO_RULE (~0ULL)

/* The rule at an address of a table; nothing if the table is not that of the image any more. */
static __always_inline u64 rule_of(struct walk *walk, u64 in_table) {
    struct block *header = block_of(walk->table);
    if (!header || header->words[0] != walk->image) return NO_RULE;
    walk->is_go = header->words[2] & TABLE_GO;
    u64 page = in_table >> PAGE_SHIFT_OF_TABLE;
    if (page >= header->words[1]) return RULE_NO_INFO;
    u64 word = TABLE_HEADER_WORDS + 2 * page;
    struct block *index = block_of(walk->table + word / BLOCK_WORDS);
    if (!index) return NO_RULE;
    word &= BLOCK_WORDS - 2;
    u32 block = index->words[word], place = index->words[word + 1];
    u64 first = place & 0xffff, count = place >> 16;
    if (!count) return RULE_NO_INFO;
    struct block *rows = block_of(walk->table + block);
    if (!rows) return NO_RULE;
    /* The last one that begins at or below the address. */
    u64 within = in_table & ((1 << PAGE_SHIFT_OF_TABLE) - 1), at = 0;
#pragma unroll
    for (u32 half = BLOCK_WORDS / 2; half; half /= 2) {
        u64 next = at + half;
        u64 begin = rows->words[(first + next) & (BLOCK_WORDS - 1)] >> ROW_RULE_BITS;
        u64 is_below = is_less(begin, within + 1) & is_less(next, count);
        at += half & is_below;
    }
    u32 rule = rows->words[(first + at) & (BLOCK_WORDS - 1)] & ((1 << ROW_RULE_BITS) - 1);
    u64 *found = bpf_map_lookup_elem(&rules, &rule);
    return found ? *found : RULE_NO_INFO;
}

/* A word of the stack was read. */
static __always_inline void note(struct scratch *scratch, u64 address, u64 word) {
    struct kept *kept = &scratch->kept;
    u64 at = address - kept->sp;
    u32 reads = kept->reads;
    if (reads >= KEPT_READS || at > KEPT_BYTES - 8 || at & 7) {
        kept->reads = KEPT_NOTHING;
        return;
    }
    kept->words[reads & (KEPT_READS - 1)] = word;
    kept->at[reads & (KEPT_READS - 1)] = at / 8;
    if (kept->bytes < at + 8) kept->bytes = at + 8;
    kept->reads = reads + 1;
}

static __always_inline int read_word(struct scratch *scratch, u64 address, u64 *word) {
    if (bpf_probe_read_user(word, 8, (void *)address)) return -1;
    note(scratch, address, *word);
    return 0;
}

/* A frame pointer, or whatever the register is used for: it is noted down when it leads somewhere. */
static __always_inline int read_fp(struct scratch *scratch, u64 address, u64 *fp, u64 *fp_at) {
    if (bpf_probe_read_user(fp, 8, (void *)address)) return -1;
    *fp_at = address;
    return 0;
}

/* A frame pointer and the return address above it. */
static __always_inline int read_pair(struct scratch *scratch, u64 address, u64 pair[2], u64 *fp_at) {
    if (bpf_probe_read_user(pair, 16, (void *)address)) return -1;
    note(scratch, address + 8, pair[1]);
    *fp_at = address;
    return 0;
}

/* The frame pointer leads somewhere. */
static __always_inline void use_fp(struct scratch *scratch) {
    struct walk *walk = &scratch->walk;
    if (walk->fp_at == FP_BEGIN)
        scratch->kept.uses_fp = 1;
    else if (walk->fp_at != FP_NOTED)
        note(scratch, walk->fp_at, walk->fp);
    walk->fp_at = FP_NOTED;
}

/* Where a walk from these registers would be kept. */
static __always_inline u32 kept_at(const struct kept *kept, u32 which) {
    u64 mixed = (kept->ip ^ rotated(kept->sp, 20) ^ rotated(kept->list, 40) ^ which % SCRATCH_KINDS) * 0x9e3779b97f4a7c15ULL;
    return which / SCRATCH_KINDS << (kept_bits & 31) | ((u32)(mixed >> 32) & ((1U << (kept_bits & 31)) - 1));
}

/* What of a stack is still as it was kept. */
enum kept_part { KEPT_USER = 1, KEPT_KERNEL = 2 };

/* Where a copy of the kernel's stack is put: behind the user's. */
#define KERNEL_COPY (ALL_FRAMES / 4 * 3)
#define KERNEL_COPY_WORDS (KEPT_KERNEL_BYTES / 8)

/* Whether the outermost return address, next to the registers of user mode, is this one. */
static __always_inline int is_last(const struct kept *now, u64 last) {
    u64 word = 0;
    return !bpf_probe_read_kernel(&word, sizeof word, (void *)(now->kernel_top - 8)) && word == last;
}

/* Whether the kernel's part of the stack is still the one that was kept there. */
static __always_inline int is_kernel_kept(struct scratch *scratch, struct kept *kept) {
    const struct kept *now = &scratch->kept;
    u32 words = kept->kernel_words, bytes = kept->kernel_bytes;
    u64 *stack = &scratch->frames[KERNEL_COPY];
    if (!words || words > KEPT_KERNEL_WORDS || bytes > KEPT_KERNEL_BYTES) return 0;
    if (kept->kernel_last && !is_last(now, kept->kernel_last)) return 0;
    if (bpf_probe_read_kernel(stack, bytes, (void *)now->kernel_begin)) return 0;
    u64 differs = 0;
    for (u32 word = 0; word < KEPT_KERNEL_WORDS; word++) {
        if (word >= words) break;
        differs |= stack[kept->kernel_at[word] & (KERNEL_COPY_WORDS - 1)] ^ kept->kernel_word[word];
    }
    return !differs;
}

/* The search for return addresses. */
struct search {
    u32 which;
    u32 slot;
    u32 frames;
    u32 found; /* a bit for each frame */
};

/* One word of the stack, from the arguments of the program upwards. */
static long search_word(u32 index, struct search *search) {
    struct scratch *scratch = bpf_map_lookup_elem(&scratches, &search->which);
    if (!scratch) return 1;
    u64 word = scratch->frames[KERNEL_COPY + (index & (KERNEL_COPY_WORDS - 1))];
    /* Code of the kernel is within 4 GiB, or it is not found; most other words are not. */
    if ((word ^ scratch->frames[(search->frames - 1) & (ALL_FRAMES - 1)]) >> 32) return 0;
    u32 is = 0;
    for (u32 frame = 0; frame < KEPT_KERNEL_FRAMES; frame++) {
        if (frame >= search->frames) break;
        /* Without a jump, as all of these are ways of their own to the verifier. */
        u64 differs = scratch->frames[frame] ^ word;
        is |= (u32)((~(differs | -differs)) >> 63) << frame;
        asm volatile("" : "+r"(is));
    }
    if (!is) return 0;
    struct kept *kept = bpf_map_lookup_elem(&kept_stacks, &search->slot);
    if (!kept) return 1;
    u32 words = kept->kernel_words;
    if (words >= KEPT_KERNEL_WORDS) {
        search->found = 0;
        return 1;
    }
    kept->kernel_word[words & (KEPT_KERNEL_WORDS - 1)] = word;
    kept->kernel_is[words & (KEPT_KERNEL_WORDS - 1)] = is;
    kept->kernel_at[words & (KEPT_KERNEL_WORDS - 1)] = index;
    kept->kernel_words = words + 1;
    kept->kernel_bytes = 8 * (index + 1);
    search->found |= is;
    return 0;
}

/* Whether all frames are found that have their return address above the arguments of the program. */
static __always_inline int all_found(u32 found, u32 frames) {
    u32 innermost = (1U << KEPT_KERNEL_INNERMOST) - 1, all = (u32)((1ULL << (frames & 63)) - 1);
    /* Those of the innermost that are below the first that is found are none of them. */
    u32 first = found & innermost;
    return first && (found | ((first & -first) - 1)) == all;
}

/* The same walk has led to the same frames: words that were other ones by then are no return addresses of it. */
static __always_inline u32 keep_fewer(struct scratch *scratch, struct kept *kept) {
    u64 *stack = &scratch->frames[KERNEL_COPY];
    u32 words = kept->kernel_words, left = 0, found = 0, last = 0;
    for (u32 word = 0; word < KEPT_KERNEL_WORDS; word++) {
        if (word >= words) break;
        u64 value = kept->kernel_word[word];
        u32 at = kept->kernel_at[word], is = kept->kernel_is[word];
        u64 differs = stack[at & (KERNEL_COPY_WORDS - 1)] ^ value;
        u32 same = (u32)((~(differs | -differs)) >> 63);
        kept->kernel_word[left & (KEPT_KERNEL_WORDS - 1)] = value;
        kept->kernel_is[left & (KEPT_KERNEL_WORDS - 1)] = is;
        kept->kernel_at[left & (KEPT_KERNEL_WORDS - 1)] = at;
        found |= is & -same;
        left += same;
        last ^= (last ^ at) & -same;
        asm volatile("" : "+r"(left), "+r"(found), "+r"(last));
    }
    kept->kernel_words = left;
    /* What lies further up may be behind the end of the stack, next time. */
    kept->kernel_bytes = 8 * (last + 1);
    return found;
}

/* Keeps the kernel's part of a stack, so many frames, beside what is kept of the user's. A function of its own, as `step` is. */
__noinline long keep_kernel(u32 which, u32 slot, u32 frames) {
    struct scratch *scratch = bpf_map_lookup_elem(&scratches, &which);
    struct kept *kept = bpf_map_lookup_elem(&kept_stacks, &slot);
    if (!scratch || !kept) return 0;
    const struct kept *now = &scratch->kept;
    u32 misses = ++kept->kernel_misses;
    u64 bytes = now->kernel_top - 8 - now->kernel_begin, last = 0;
    /* Verifiers up to that of 6.12 are to see that what is compared is what is used. */
    asm volatile("" : "+r"(bytes));
    u32 is_same = kept->kernel_words && kept->kernel_key == scratch->walk.kernel_key &&
                  kept->kernel_check == scratch->walk.kernel_check;
    /* A search takes as long as some walks: what is another one each time is looked for ever less. */
    if (!is_same && misses & (misses - 1)) return 0;
    u32 found = 0, was_last = kept->kernel_last != 0;
    if (frames > KEPT_KERNEL_INNERMOST && frames <= KEPT_KERNEL_FRAMES && bytes <= KEPT_KERNEL_BYTES) {
        if (bpf_probe_read_kernel(&scratch->frames[KERNEL_COPY], bytes, (void *)now->kernel_begin)) return 0;
        last = scratch->frames[(frames - 1) & (KEPT_KERNEL_FRAMES - 1)];
        if (!is_last(now, last)) last = 0;
        if (is_same) {
            if (was_last == (last != 0)) found = keep_fewer(scratch, kept);
        } else {
            struct search search = {.which = which, .slot = slot, .frames = frames};
            kept->kernel_words = 0;
            bpf_loop((u32)bytes / 8, search_word, &search, 0);
            found = search.found;
        }
        if (last) found |= 1U << ((frames - 1) & (KEPT_KERNEL_FRAMES - 1));
    }
    if (!all_found(found, frames)) kept->kernel_words = 0;
    kept->kernel_last = last;
    kept->kernel_frames = frames;
    kept->kernel_key = scratch->walk.kernel_key;
    kept->kernel_check = scratch->walk.kernel_check;
    return 0;
}

/* What of the stack is still as it was kept there: all that was read of it is. A function of its own, as `step` is. */
__noinline long is_kept(u32 which, u32 slot) {
    struct scratch *scratch = bpf_map_lookup_elem(&scratches, &which);
    struct kept *kept = bpf_map_lookup_elem(&kept_stacks, &slot);
    if (!scratch || !kept) return 0;
    const struct kept *now = &scratch->kept;
    if (kept->ip != now->ip || kept->sp != now->sp || kept->lr != now->lr || kept->list != now->list) return 0;
    if (kept->uses_fp && kept->fp != now->fp) return 0;
    u32 bytes = kept->bytes, reads = kept->reads;
    if (bytes > KEPT_BYTES || reads > KEPT_READS) return 0;
    /* Its frames are not there yet: there is room behind. */
    u64 *stack = &scratch->frames[ALL_FRAMES / 2];
    if (bpf_probe_read_user(stack, bytes, (void *)now->sp)) return 0;
    u64 differs = 0;
    for (u32 read = 0; read < KEPT_READS; read++) {
        if (read >= reads) break;
        differs |= stack[kept->at[read] & (KEPT_BYTES / 8 - 1)] ^ kept->words[read];
    }
    if (differs) return 0;
    return now->kernel_top && is_kernel_kept(scratch, kept) ? KEPT_USER | KEPT_KERNEL : KEPT_USER;
}

#if defined(__TARGET_ARCH_x86)
/* Whether the bytes before a return address can be a call: E8 of a relative one, FF /2 of the others. */
static __always_inline int is_behind_call(u64 address) {
    u8 bytes[8];
    if (bpf_probe_read_user(bytes, sizeof bytes, (void *)(address - 8))) return 0;
#define IS_INDIRECT(at) (bytes[at] == 0xff && (bytes[at + 1] & 0x38) == 0x10)
    return bytes[3] == 0xe8 || IS_INDIRECT(6) || IS_INDIRECT(5) || IS_INDIRECT(4) || IS_INDIRECT(2) || IS_INDIRECT(1);
#undef IS_INDIRECT
}

/* Where a signal's frame has the registers that it has interrupted, from the stack pointer of the trampoline on: `struct
 * ucontext` and `struct sigcontext` (arch/x86/include/uapi/asm). */
#define SIGNAL_FP (40 + 8 * 10)
#define SIGNAL_SP (40 + 8 * 15)
#define SIGNAL_IP (40 + 8 * 16)
static __always_inline u64 code_address(u64 word) {
    return word;
}
#else
/* Without the code that authenticates it: addresses of user mode have 52 bits at most, 48 by default. */
static __always_inline u64 code_address(u64 word) {
    return word & ((1ULL << 48) - 1);
}
static __always_inline int is_behind_call(u64 address) {
    return 1;
}
/* `struct rt_sigframe`: siginfo of 128 bytes, then `struct ucontext` and `struct sigcontext` (arch/arm64). */
#define SIGNAL_FP (128 + 176 + 8 + 8 * 29)
#define SIGNAL_SP (128 + 176 + 8 + 8 * 31)
#define SIGNAL_IP (128 + 176 + 8 + 8 * 32)
#endif

/* Ends the walk. */
static __always_inline long ends(struct walk *walk, u32 end) {
    walk->end = end;
    return 1;
}

struct loop {
    u32 scratch;
};

/* A frame pointer makes sense if it leads up the stack, to a frame whose return address is in code and behind a call. */
static __always_inline int by_frame_pointer(struct walk *walk, u64 pair[2]) {
    if (walk->fp < walk->sp || walk->fp & 7) return 0;
    if (bpf_probe_read_user(pair, 16, (void *)walk->fp)) return 0;
    return pair[1] && is_behind_call(pair[1]);
}

/*
 * One frame: it is noted down, and its caller becomes the next one. 1: that was the last.
 *
 * It is no `static` function, so that it is verified once and not in each place and state that it is called in.
 */
__noinline long step(u32 which) {
    struct scratch *scratch = bpf_map_lookup_elem(&scratches, &which);
    if (!scratch) return 1;
    struct walk *walk = &scratch->walk;
    u64 address = walk->ip - walk->called;
    if (!enter(walk, address)) {
        /* A return address that is in no code is likely to be none: nothing is shown that nobody has run. */
        if (!walk->frames) push(scratch, FRAME_RAW | (address & ((1ULL << 56) - 1)));
        return ends(walk, END_NOT_MAPPED);
    }
    u64 rule = RULE_NO_INFO;
    int has_table = walk->table != 0;
    if (has_table) {
        rule = rule_of(walk, walk->in_table + (address - walk->begin));
        if (rule == NO_RULE) return ends(walk, END_NO_TABLE);
    } else if (walk->image) {
        return ends(walk, END_NO_TABLE);
    }
    u32 kind = rule & 0xff;
    if (kind == RULE_SIGNAL && walk->called) address++;
    push(scratch, frame_of(walk, address));

    s64 argument = (s64)(rule << 48) >> 56, cfa_words = (s64)(rule << 32) >> 48;
    s64 ra_slot = (s64)(rule << 16) >> 48, fp_slot = (s64)rule >> 48;
    u64 cfa, ip, fp = walk->fp, fp_at = walk->fp_at;
    u32 by = BY_RULE, called = 1, may_fall = 0, may_stay = !walk->called;
    switch (kind) {
    case RULE_ROOT: return ends(walk, END_ROOT);
    case RULE_ROW: return ends(walk, END_ROW);
    case RULE_NO_INFO: {
        u64 pair[2];
        if (has_table && !walk->may_guess) return ends(walk, END_NO_INFO);
        if (!by_frame_pointer(walk, pair)) return ends(walk, END_NO_INFO);
        /* It has looked at code too. */
        scratch->kept.reads = KEPT_NOTHING;
        cfa = walk->fp + 16;
        fp = pair[0];
        ip = pair[1];
        by = BY_FRAME_POINTER;
        break;
    }
    case RULE_SIGNAL: {
        u64 sp;
        /* One that is known by its instructions only begins behind this byte: it is what a return address is looked up by. */
        if (argument && !walk->called) return ends(walk, END_NO_INFO);
        if (read_word(scratch, walk->sp + SIGNAL_IP, &ip) || read_word(scratch, walk->sp + SIGNAL_SP, &sp) ||
            read_fp(scratch, walk->sp + SIGNAL_FP, &fp, &fp_at))
            return ends(walk, END_UNREADABLE);
        cfa = sp;
        called = 0;
        may_fall = 1;
        may_stay = 1;
        break;
    }
    case RULE_GO: {
        by = BY_GO_TABLE;
        u64 kept = walk->sp + 8 * (cfa_words - 1);
        use_fp(scratch);
        fp_at = FP_NOTED;
        if (argument == GO_STAYS) {
            cfa = walk->sp + 8 * (cfa_words + 1);
            if (read_word(scratch, cfa - 8, &ip)) return ends(walk, END_UNREADABLE);
            if (walk->fp == kept && cfa_words > 0 && read_fp(scratch, kept, &fp, &fp_at))
                return ends(walk, END_UNREADABLE);
            break;
        }
        if (!walk->called) return ends(walk, END_OTHER_STACK);
        if (argument == GO_NEW_THREAD) return ends(walk, END_ROOT);
        if (argument == GO_LOST || !walk->fp || !cfa_words) return ends(walk, END_OTHER_STACK);
        u64 pair[2];
        if (read_pair(scratch, walk->fp, pair, &fp_at)) return ends(walk, END_UNREADABLE);
        cfa = walk->fp + 16;
        fp = pair[0];
        ip = pair[1];
        by = BY_FRAME_POINTER;
        may_fall = 1;
        break;
    }
    case RULE_PLT:
        cfa = walk->sp + 8 + 8 * ((address & 15) >= (u64)argument);
        if (read_word(scratch, cfa - 8, &ip)) return ends(walk, END_UNREADABLE);
        break;
    case RULE_SP:
    case RULE_FP:
    case RULE_SP_DEREF:
    case RULE_FP_DEREF: {
        u64 base = kind == RULE_SP || kind == RULE_SP_DEREF ? walk->sp : walk->fp;
        if (kind == RULE_FP || kind == RULE_FP_DEREF || fp_slot == SLOT_AT_FP) {
            use_fp(scratch);
            fp_at = FP_NOTED;
        }
        cfa = base + 8 * cfa_words;
        if (kind == RULE_SP_DEREF || kind == RULE_FP_DEREF) {
            u64 word;
            if (read_word(scratch, cfa, &word)) return ends(walk, END_UNREADABLE);
            cfa = word + 8 * argument;
        } else {
            cfa += 8 * 65536 * argument;
        }
        if (ra_slot == SLOT_IN_REGISTER) {
            if (!walk->lr) return ends(walk, END_NO_PROGRESS);
            ip = walk->lr;
            u64 at = fp_slot == SLOT_AT_FP ? walk->fp : cfa + 8 * fp_slot;
            if (fp_slot != SLOT_IN_REGISTER && at >= walk->sp && read_fp(scratch, at, &fp, &fp_at)) return ends(walk, END_UNREADABLE);
            break;
        }
        if (ra_slot == -1 && fp_slot == -2) {
            u64 pair[2];
            if (read_pair(scratch, cfa - 16, pair, &fp_at)) return ends(walk, END_UNREADABLE);
            fp = pair[0];
            ip = pair[1];
            /* A register that is said to be saved below the stack pointer is in its register again. */
            if (cfa - 16 < walk->sp) {
                fp = walk->fp;
                fp_at = walk->fp_at;
            }
            break;
        }
        if (read_word(scratch, cfa + 8 * ra_slot, &ip)) return ends(walk, END_UNREADABLE);
        u64 at = fp_slot == SLOT_AT_FP ? walk->fp : cfa + 8 * fp_slot;
        if (fp_slot != SLOT_IN_REGISTER && at >= walk->sp && read_fp(scratch, at, &fp, &fp_at)) return ends(walk, END_UNREADABLE);
        break;
    }
    default: return ends(walk, END_ROW);
    }
    ip = code_address(ip);
    if (!ip) return ends(walk, END_NOT_MAPPED);
    if ((cfa < walk->sp && !may_fall) || (cfa == walk->sp && !may_stay)) return ends(walk, END_NO_PROGRESS);
    walk->ip = ip;
    walk->sp = cfa;
    walk->fp = fp;
    walk->fp_at = fp_at;
    walk->lr = 0;
    walk->by = by;
    walk->called = called;
    return 0;
}

static long each_frame(u32 index, struct loop *loop) {
    return step(loop->scratch) ? 1 : 0;
}

struct user_regs {
    u64 ip, sp, fp, lr;
    u32 is_64;
};

/*
 * Makes all ready to walk the user part of a stack: what is known of the process, and the registers. 0 if it cannot be walked; then
 * it is said why.
 */
static __always_inline int begin_walk(struct scratch *scratch, u32 tgid, struct mm_struct *mm, const struct user_regs *regs,
                                      u32 may_guess) {
    struct walk *walk = &scratch->walk;
    walk->frames = 0;
    if (!regs->is_64) {
        walk->end = END_OTHER_PROCESSOR;
        return 0;
    }
    walk->ip = regs->ip;
    walk->sp = regs->sp;
    walk->fp = regs->fp;
    walk->lr = regs->lr;
    walk->fp_at = FP_BEGIN;
    walk->by = BY_SAMPLE;
    walk->called = 0;
    walk->begin = 0;
    walk->size = 0;
    walk->may_guess = may_guess;
    struct process *process = bpf_map_lookup_elem(&processes, &tgid);
    if (!process) {
        walk->end = END_NOT_KNOWN;
        return 0;
    }
    struct block *block = block_of(process->block);
    if ((process->exec_vm && process->exec_vm != mm->exec_vm) || !block ||
        ((struct mapping *)block)[MAPPING_SLOTS - 1].first != process->list) {
        walk->end = END_STALE;
        return 0;
    }
    walk->epoch = process->epoch;
    walk->mappings = process->block;
    walk->count = process->count;
    struct kept *kept = &scratch->kept;
    kept->ip = regs->ip;
    kept->sp = regs->sp;
    kept->fp = regs->fp;
    kept->lr = regs->lr;
    kept->list = process->list;
    kept->bytes = 0;
    kept->reads = 0;
    kept->uses_fp = 0;
    return 1;
}

/* Walks: appends to the frames, and says how they end. */
static __always_inline void walk_user(struct scratch *scratch, u32 which) {
    scratch->walk.end = END_TOO_DEEP;
    struct loop loop = {.scratch = which};
    bpf_loop(USER_FRAMES, each_frame, &loop, 0);
}
