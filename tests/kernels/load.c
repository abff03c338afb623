/*
 * Shows the programs of BPF objects to the verifier of the kernel that runs, each by itself and then all together, and attaches
 * those that say what they attach to. Says of each what the verifier did with it, and of a refused one the end of its log.
 *
 *   load [-l LINES] [-s "NAME=VALUE ..."] OBJECT...
 *
 * LINES of a refused program's log are printed (400). NAMEs are read-only variables of the object, which its loader sets: what they
 * switch off the verifier does not see. Exit status 1 if anything was refused.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Before 6.4 a log that does not fit fails the load, whatever its end would have said. The pages are only touched if needed. */
#define LOG_BYTES (768UL << 20)
#define LOG_STATISTICS 4
#define LOG_INSTRUCTIONS 1

static char *verifier_log;
static char said[4096];

/* What libbpf says is kept until it is known whether it matters. */
static int keep(enum libbpf_print_level level, const char *format, va_list arguments)
{
    size_t used = strlen(said);
    if (level == LIBBPF_WARN)
        vsnprintf(said + used, sizeof said - used, format, arguments);
    return 0;
}

/* "NAME=VALUE ...", or NULL. */
static const char *settings;

/* Sets the read-only variables that are named in `settings`; an object need not have all of them. */
static void set(struct bpf_object *object)
{
    const struct btf *btf = bpf_object__btf(object);
    struct bpf_map *map;
    for (const char *at = settings; at && *at; at += strspn(at, " ")) {
        char name[64];
        unsigned long long value;
        int length = 0;
        if (sscanf(at, "%63[^=]=%lli%n", name, (long long *)&value, &length) != 2)
            return;
        at += length;
        bpf_object__for_each_map(map, object) {
            size_t size = 0;
            char *values = strstr(bpf_map__name(map), ".rodata") ? (char *)bpf_map__initial_value(map, &size) : NULL;
            int section = values ? btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC) : -1;
            const struct btf_type *type = section > 0 ? btf__type_by_id(btf, section) : NULL;
            for (unsigned each = 0; type && each < btf_vlen(type); each++) {
                const struct btf_var_secinfo *variable = btf_var_secinfos(type) + each;
                const char *found = btf__name_by_offset(btf, btf__type_by_id(btf, variable->type)->name_off);
                if (!strcmp(found, name) && variable->offset + variable->size <= size && variable->size <= sizeof value)
                    memcpy(values + variable->offset, &value, variable->size);
            }
        }
    }
}

/* Nothing of `object` that is not `wanted` is loaded; NULL wants everything. */
static struct bpf_object *load(const char *path, const char *wanted, int level, int *error)
{
    said[0] = 0;
    verifier_log[0] = 0;
    LIBBPF_OPTS(bpf_object_open_opts, options, .kernel_log_level = level, .kernel_log_buf = verifier_log,
                .kernel_log_size = LOG_BYTES);
    struct bpf_object *object = bpf_object__open_file(path, &options);
    if (!object) {
        *error = errno;
        return NULL;
    }
    set(object);
    struct bpf_program *program;
    bpf_object__for_each_program(program, object)
        bpf_program__set_autoload(program, !wanted || !strcmp(bpf_program__name(program), wanted));
    *error = -bpf_object__load(object);
    if (!*error)
        return object;
    bpf_object__close(object);
    return NULL;
}

static void print_end(const char *text, long lines)
{
    const char *from = text + strlen(text);
    while (from > text && lines >= 0)
        if (*--from == '\n' && lines-- == 0) {
            from++;
            break;
        }
    if (from > text)
        printf("... (%ld bytes before this)\n", (long)(from - text));
    fputs(from, stdout);
}

/* The line of statistics that begins so, or "". */
static const char *line_of(const char *begin, char *line, size_t size)
{
    const char *at = strstr(verifier_log, begin);
    snprintf(line, size, "%.*s", at ? (int)strcspn(at, "\n") : 0, at ? at : "");
    return line;
}

static int show_program(const char *path, const char *name, long lines)
{
    int error;
    struct bpf_object *object = load(path, name, LOG_STATISTICS, &error);
    if (object) {
        char processed[256], microseconds[128];
        printf("ok       %-24s %s; %s\n", name, line_of("processed ", processed, sizeof processed),
               line_of("verification time ", microseconds, sizeof microseconds));
        bpf_object__close(object);
        return 0;
    }
    printf("REFUSED  %-24s %s\n", name, strerror(error));
    printf("--- what libbpf says\n%s", said);
    printf("--- in short\n");
    print_end(verifier_log, 20);
    load(path, name, LOG_INSTRUCTIONS | LOG_STATISTICS, &error);
    printf("--- the log's last %ld lines\n", lines);
    print_end(verifier_log, lines);
    printf("--- end of log of %s\n", name);
    return 1;
}

/* A program of a perf event is attached to a clock of this process; the others say themselves what they are attached to. */
static struct bpf_link *attach(struct bpf_program *program)
{
    if (bpf_program__type(program) != BPF_PROG_TYPE_PERF_EVENT)
        return bpf_program__attach(program);
    struct perf_event_attr clock = {
        .type = PERF_TYPE_SOFTWARE, .size = sizeof clock, .config = PERF_COUNT_SW_CPU_CLOCK, .sample_period = 1000000};
    int event = (int)syscall(SYS_perf_event_open, &clock, 0, -1, -1, 0);
    return event < 0 ? NULL : bpf_program__attach_perf_event(program, event);
}

static int show_object(const char *path, long lines)
{
    int refused = 0, error;
    said[0] = 0;
    struct bpf_object *object = bpf_object__open_file(path, NULL);
    if (!object) {
        printf("REFUSED  %s: %s\n%s", path, strerror(errno), said);
        return 1;
    }
    struct bpf_program *program;
    bpf_object__for_each_program(program, object)
        refused += show_program(path, bpf_program__name(program), lines);
    bpf_object__close(object);
    if (refused)
        return refused;

    object = load(path, NULL, LOG_STATISTICS, &error);
    if (!object) {
        printf("REFUSED  %s as a whole: %s\n%s", path, strerror(error), said);
        return 1;
    }
    said[0] = 0;
    bpf_object__for_each_program(program, object) {
        errno = 0;
        struct bpf_link *link = attach(program);
        if (!link) {
            printf("NOT ATTACHED  %s: %s\n%s", bpf_program__name(program), strerror(errno), said);
            refused++;
            continue;
        }
        int reader = bpf_program__expected_attach_type(program) == BPF_TRACE_ITER ? bpf_iter_create(bpf_link__fd(link)) : -1;
        if (reader >= 0) {
            char part[4096];
            long got, sum = 0;
            while ((got = read(reader, part, sizeof part)) > 0)
                sum += got;
            printf("read     %-24s %ld bytes%s%s\n", bpf_program__name(program), sum, got ? ", then " : "",
                   got ? strerror(errno) : "");
            close(reader);
        }
    }
    /* So that each program has run before it goes. */
    for (volatile int at = 0; at < 300000000; at++)
        ;
    usleep(100000);
    printf("%s  %s: all together, %s\n", refused ? "REFUSED" : "attached", path,
           settings && *settings ? settings : "as it is");
    bpf_object__close(object);
    return refused;
}

int main(int argc, char **argv)
{
    long lines = 400;
    int refused = 0, at = 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (; at + 1 < argc && argv[at][0] == '-'; at += 2) {
        if (argv[at][1] == 'l')
            lines = atol(argv[at + 1]);
        else
            settings = argv[at + 1];
    }
    verifier_log = mmap(NULL, LOG_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (verifier_log == MAP_FAILED)
        return perror("no memory for the log"), 2;
    libbpf_set_print(keep);
    for (; at < argc; at++)
        refused += show_object(argv[at], lines);
    return refused != 0;
}
