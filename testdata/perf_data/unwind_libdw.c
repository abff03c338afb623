// The second opinion on unwinding: reads a perf.data, and unwinds its stack copies by elfutils' libdwfl.
//
//   unwind_libdw FILE
//
// For files that `perf record -e ONE_EVENT --call-graph dwarf` writes on x86_64: one event, nothing compressed. Records are put into
// order of time, mappings are followed (MMAP, MMAP2, exec, fork), and for every sample with registers and a stack copy it prints
//
//   S TID TIME FRAMES END        END is `end`, or what libdwfl says
//   PATH OFFSET ADDRESS          a line for each frame, innermost first
//
// The offset is that in the file, of the instruction: one less than a return address. PATH is `-` where nothing is mapped.
#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// --- perf.data: include/uapi/linux/perf_event.h, tools/perf/Documentation/perf.data-file-format.txt ---

enum { MMAP = 1, COMM = 3, FORK = 7, SAMPLE = 9, MMAP2 = 10 };
enum {
    IP = 1 << 0, TID = 1 << 1, TIME = 1 << 2, ADDR = 1 << 3, READ = 1 << 4, CALLCHAIN = 1 << 5, ID = 1 << 6, CPU = 1 << 7,
    PERIOD = 1 << 8, STREAM_ID = 1 << 9, RAW = 1 << 10, BRANCHES = 1 << 11, REGS_USER = 1 << 12, STACK_USER = 1 << 13,
    IDENTIFIER = 1 << 16,
};
enum { MISC_COMM_EXEC = 1 << 13, MISC_MMAP_DATA = 1 << 13, PERF_PROT_EXEC = 4, MOST_FRAMES = 10000 };

struct header { uint32_t type; uint16_t misc, size; };
struct record { uint64_t time; const struct header *header; size_t order; };

static uint64_t sample_type, regs_mask;

static void fail(const char *what) {
    fprintf(stderr, "unwind_libdw: %s\n", what);
    exit(1);
}

static uint64_t word(const void *at) {
    uint64_t word;
    memcpy(&word, at, 8);
    return word;
}

// In a sample the time stands behind IDENTIFIER, IP and TID; in other records the identity is at the end.
static uint64_t time_of(const struct header *header) {
    const uint8_t *bytes = (const uint8_t *)header;
    if (header->type == SAMPLE) {
        return word(bytes + 8 + 8 * (!!(sample_type & IDENTIFIER) + !!(sample_type & IP) + !!(sample_type & TID)));
    }
    uint64_t behind = !!(sample_type & ID) + !!(sample_type & STREAM_ID) + !!(sample_type & CPU) + !!(sample_type & IDENTIFIER);
    return word(bytes + header->size - 8 * (behind + 1));
}

static int by_time(const void *a, const void *b) {
    const struct record *x = a, *y = b;
    if (x->time != y->time) return x->time < y->time ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

// --- what is mapped ---

struct mapping { uint64_t start, end, offset; const char *path; };
struct process {
    uint32_t pid;
    struct mapping *mappings;
    size_t count;
    // Made when it is needed, until a mapping changes.
    Dwfl *dwfl;
    struct process *next;
};

static struct process *processes;

static void changed(struct process *process) {
    if (process->dwfl) dwfl_end(process->dwfl);
    process->dwfl = NULL;
}

static struct process *process_of(uint32_t pid) {
    for (struct process *process = processes; process; process = process->next) {
        if (process->pid == pid) return process;
    }
    struct process *process = calloc(1, sizeof *process);
    process->pid = pid;
    process->next = processes;
    processes = process;
    return process;
}

static void add(struct process *process, struct mapping mapping) {
    process->mappings = realloc(process->mappings, (process->count + 1) * sizeof mapping);
    process->mappings[process->count++] = mapping;
}

// A later mapping cuts those before it.
static void map(struct process *process, struct mapping mapping) {
    struct mapping *old = process->mappings;
    size_t count = process->count;
    process->mappings = NULL;
    process->count = 0;
    for (size_t row = 0; row < count; row++) {
        struct mapping known = old[row];
        if (known.end <= mapping.start || known.start >= mapping.end) {
            add(process, known);
            continue;
        }
        if (known.start < mapping.start) {
            add(process, (struct mapping){known.start, mapping.start, known.offset, known.path});
        }
        if (known.end > mapping.end) {
            add(process, (struct mapping){mapping.end, known.end, known.offset + (mapping.end - known.start), known.path});
        }
    }
    free(old);
    add(process, mapping);
    changed(process);
}

static const struct mapping *find(const struct process *process, uint64_t address) {
    for (size_t row = 0; row < process->count; row++) {
        const struct mapping *mapping = &process->mappings[row];
        if (mapping->start <= address && address < mapping->end) return mapping;
    }
    return NULL;
}

// --- libdwfl ---

static struct {
    const uint8_t *stack;
    uint64_t stack_size;
    uint64_t registers[17];
    uint32_t tid;
    const struct process *process;
    Dwfl *dwfl;
    unsigned frames;
} now;

static bool memory_read(Dwfl *dwfl, Dwarf_Addr address, Dwarf_Word *result, void *argument) {
    (void)argument;
    uint64_t sp = now.registers[7];
    if (address >= sp && address - sp + 8 <= now.stack_size) {
        *result = word(now.stack + (address - sp));
        return true;
    }
    // Read-only data of a file.
    Dwarf_Addr bias;
    Dwfl_Module *module = dwfl_addrmodule(dwfl, address);
    Elf_Scn *section = module ? dwfl_module_address_section(module, &address, &bias) : NULL;
    Elf_Data *data = section ? elf_getdata(section, NULL) : NULL;
    if (!data || !data->d_buf || address + 8 > data->d_size) return false;
    *result = word((const uint8_t *)data->d_buf + address);
    return true;
}

static bool get_thread(Dwfl *dwfl, pid_t tid, void *argument, void **thread_argument) {
    (void)dwfl, (void)tid;
    *thread_argument = argument;
    return true;
}

static pid_t next_thread(Dwfl *dwfl, void *argument, void **thread_argument) {
    (void)dwfl;
    if (*thread_argument) return 0;
    *thread_argument = argument;
    return now.tid;
}

static bool set_initial_registers(Dwfl_Thread *thread, void *argument) {
    (void)argument;
    return dwfl_thread_state_registers(thread, 0, 17, now.registers);
}

static const Dwfl_Thread_Callbacks thread_callbacks = {
    .next_thread = next_thread,
    .get_thread = get_thread,
    .memory_read = memory_read,
    .set_initial_registers = set_initial_registers,
};

// Separate debug files are not looked for: what every machine has is the table in the file itself.
static int find_debuginfo(Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base, const char *file,
                          const char *link, GElf_Word checksum, char **found) {
    (void)module, (void)data, (void)name, (void)base, (void)file, (void)link, (void)checksum, (void)found;
    return -1;
}

static int find_elf(Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base, char **file, Elf **elf) {
    (void)module, (void)data, (void)name, (void)base, (void)file, (void)elf;
    return -1;
}

static const Dwfl_Callbacks callbacks = {
    .find_elf = find_elf,
    .find_debuginfo = find_debuginfo,
    .section_address = dwfl_offline_section_address,
};

// This process's, which is the kernel's.
static const char *vdso_file(void) {
    static char path[] = "/tmp/unwind-libdw-vdso-XXXXXX";
    static bool is_made;
    if (!is_made) {
        const GElf_Ehdr *header = (const GElf_Ehdr *)getauxval(AT_SYSINFO_EHDR);
        int file = mkstemp(path);
        size_t size = header->e_shoff + (size_t)header->e_shentsize * header->e_shnum;
        if (file < 0 || write(file, header, size) != (ssize_t)size) fail("cannot copy the vdso");
        close(file);
        is_made = true;
    }
    return path;
}

// What is added to the addresses in a file, if it is mapped like this.
static bool bias_of(const char *path, const struct mapping *mapping, uint64_t *bias) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    Elf *elf = file < 0 ? NULL : elf_begin(file, ELF_C_READ_MMAP, NULL);
    size_t count = 0;
    bool found = false;
    if (elf && elf_kind(elf) == ELF_K_ELF && elf_getphdrnum(elf, &count) == 0) {
        for (size_t row = 0; row < count && !found; row++) {
            GElf_Phdr program;
            if (!gelf_getphdr(elf, (int)row, &program) || program.p_type != PT_LOAD || !(program.p_flags & PF_X)) continue;
            uint64_t first = program.p_offset & ~4095ull, length = mapping->end - mapping->start;
            if (program.p_offset + program.p_filesz <= mapping->offset || first >= mapping->offset + length) continue;
            *bias = mapping->start - mapping->offset + program.p_offset - program.p_vaddr;
            found = true;
        }
    }
    if (elf) elf_end(elf);
    if (file >= 0) close(file);
    return found;
}

static Dwfl *dwfl_of(struct process *process) {
    if (process->dwfl) return process->dwfl;
    Dwfl *dwfl = dwfl_begin(&callbacks);
    dwfl_report_begin(dwfl);
    for (size_t row = 0; row < process->count; row++) {
        const struct mapping *mapping = &process->mappings[row];
        bool is_vdso = strcmp(mapping->path, "[vdso]") == 0;
        const char *path = is_vdso ? vdso_file() : mapping->path;
        uint64_t bias;
        if ((!is_vdso && path[0] != '/') || !bias_of(path, mapping, &bias)) continue;
        // Two mappings of one file are one module, which libdwfl wants to be told of once.
        bool is_known = false;
        for (size_t before = 0; before < row && !is_known; before++) {
            uint64_t other;
            is_known = strcmp(process->mappings[before].path, mapping->path) == 0 &&
                       bias_of(path, &process->mappings[before], &other) && other == bias;
        }
        if (!is_known && !dwfl_report_elf(dwfl, mapping->path, path, -1, bias, true)) {
            fprintf(stderr, "unwind_libdw: %s: %s\n", path, dwfl_errmsg(-1));
        }
    }
    dwfl_report_end(dwfl, NULL, NULL);
    if (!dwfl_attach_state(dwfl, NULL, (pid_t)process->pid, &thread_callbacks, &now)) {
        // Nothing is mapped that libdwfl knows.
        dwfl_end(dwfl);
        return NULL;
    }
    return process->dwfl = dwfl;
}

static struct { const char *path; uint64_t offset, address; } frames[MOST_FRAMES];

static int each_frame(Dwfl_Frame *frame, void *argument) {
    (void)argument;
    Dwarf_Addr address;
    bool is_activation;
    if (!dwfl_frame_pc(frame, &address, &is_activation)) return DWARF_CB_ABORT;
    uint64_t lookup = is_activation ? address : address - 1;
    const struct mapping *mapping = find(now.process, lookup);
    frames[now.frames].path = mapping ? mapping->path : "-";
    frames[now.frames].offset = mapping ? lookup - mapping->start + mapping->offset : lookup;
    frames[now.frames++].address = address;
    return now.frames == MOST_FRAMES ? DWARF_CB_ABORT : DWARF_CB_OK;
}

// --- samples ---

static void sample(const struct header *header) {
    const uint8_t *at = (const uint8_t *)header + 8;
    uint32_t pid = 0, tid = 0;
    uint64_t time = 0;
    if (sample_type & (READ | RAW | BRANCHES)) fail("samples with fields that are not known here");
    if (sample_type & IDENTIFIER) at += 8;
    if (sample_type & IP) at += 8;
    if (sample_type & TID) { memcpy(&pid, at, 4); memcpy(&tid, at + 4, 4); at += 8; }
    if (sample_type & TIME) { time = word(at); at += 8; }
    if (sample_type & ADDR) at += 8;
    if (sample_type & ID) at += 8;
    if (sample_type & STREAM_ID) at += 8;
    if (sample_type & CPU) at += 8;
    if (sample_type & PERIOD) at += 8;
    if (sample_type & CALLCHAIN) at += 8 + 8 * word(at);
    uint64_t abi = word(at);
    at += 8;
    if (abi == 0) return;
    // AX BX CX DX SI DI BP SP IP FLAGS CS SS DS ES FS GS R8..R15 (asm/perf_regs.h) to the numbers of the x86-64 ABI, figure 3.36.
    static const int dwarf[24] = {0, 3, 2, 1, 4, 5, 6, 7, 16, -1, -1, -1, -1, -1, -1, -1, 8, 9, 10, 11, 12, 13, 14, 15};
    for (int bit = 0; bit < 64; bit++) {
        if (!(regs_mask >> bit & 1)) continue;
        if (bit < 24 && dwarf[bit] >= 0) now.registers[dwarf[bit]] = word(at);
        at += 8;
    }
    uint64_t size = word(at);
    now.stack = at + 8;
    now.stack_size = size ? word(at + 8 + size) : 0;
    now.tid = tid;
    now.frames = 0;
    struct process *process = process_of(pid);
    now.process = process;
    now.dwfl = dwfl_of(process);
    const char *end = "nothing mapped";
    if (now.dwfl) {
        dwfl_errno();
        int result = dwfl_getthread_frames(now.dwfl, (pid_t)tid, each_frame, NULL);
        end = result == 0 ? "end" : dwfl_errmsg(-1);
    }
    printf("S %" PRIu32 " %" PRIu64 " %u %s\n", tid, time, now.frames, end);
    for (unsigned row = 0; row < now.frames; row++) {
        printf("%s %" PRIx64 " %" PRIx64 "\n", frames[row].path, frames[row].offset, frames[row].address);
    }
}

static void take(const struct header *header) {
    const uint8_t *bytes = (const uint8_t *)header;
    uint32_t ids[4];
    memcpy(ids, bytes + 8, sizeof ids);
    switch (header->type) {
    case MMAP:
    case MMAP2: {
        uint32_t protection = PERF_PROT_EXEC;
        if (header->type == MMAP2) memcpy(&protection, bytes + 64, 4);
        if (header->type == MMAP && (header->misc & MISC_MMAP_DATA)) protection = 0;
        const char *path = (const char *)bytes + (header->type == MMAP2 ? 72 : 40);
        if (!(protection & PERF_PROT_EXEC) || (header->misc & 7) != 2) return;
        struct mapping mapping = {word(bytes + 16), word(bytes + 16) + word(bytes + 24), word(bytes + 32), path};
        if (strcmp(path, "[vdso]") == 0) mapping.offset = 0;
        map(process_of(ids[0]), mapping);
        return;
    }
    case COMM:
        if (header->misc & MISC_COMM_EXEC) {
            struct process *process = process_of(ids[0]);
            process->count = 0;
            changed(process);
        }
        return;
    case FORK:
        if (ids[0] != ids[1]) {
            struct process *parent = process_of(ids[1]), *child = process_of(ids[0]);
            child->count = 0;
            changed(child);
            for (size_t row = 0; row < parent->count; row++) add(child, parent->mappings[row]);
        }
        return;
    case SAMPLE:
        sample(header);
    }
}

int main(int count, char **arguments) {
    if (count != 2) fail("usage: unwind_libdw FILE");
    int file = open(arguments[1], O_RDONLY);
    struct stat stat;
    if (file < 0 || fstat(file, &stat) != 0) fail("cannot read the file");
    const uint8_t *bytes = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (bytes == MAP_FAILED || memcmp(bytes, "PERFILE2", 8) != 0) fail("no perf.data of this byte order");
    elf_version(EV_CURRENT);
    const uint8_t *attr = bytes + word(bytes + 24);
    // perf may add one that only brings mappings.
    if (word(bytes + 32) / word(bytes + 16) > 2) fail("more than one event");
    sample_type = word(attr + 24);
    regs_mask = word(attr + 80);
    if (!(sample_type & REGS_USER) || !(sample_type & STACK_USER)) fail("no stack copies");

    struct record *records = NULL;
    size_t found = 0, room = 0;
    uint64_t at = word(bytes + 40), end = at + word(bytes + 48);
    while (at + 8 <= end) {
        const struct header *header = (const struct header *)(bytes + at);
        if (header->size < 8 || at + header->size > end) fail("a record without a size");
        if (header->type < 64) {
            if (found == room) records = realloc(records, (room = room * 2 + 1024) * sizeof *records);
            records[found] = (struct record){time_of(header), header, found};
            found++;
        }
        at += header->size;
    }
    qsort(records, found, sizeof *records, by_time);
    for (size_t row = 0; row < found; row++) take(records[row].header);
    unlink(vdso_file());
    return 0;
}
