/* A BPF program with a function of its own, for the names and lines that the kernel has of it. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";
__u64 total;

static __attribute__((noinline)) __u64 mixing(__u64 x)
{
    for (int i = 0; i < 4; i++)
        x = x * 6364136223846793005ULL + (x >> 29);
    return x;
}

SEC("raw_tracepoint/sys_enter")
int planted_enter(void *context)
{
    total += mixing(bpf_ktime_get_ns());
    return 0;
}
