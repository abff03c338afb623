/* Inlining two deep, a static function, an alias, and a function that the linker only sees as a label. */
#include <stdio.h>
#include <stdlib.h>

static inline __attribute__((always_inline)) unsigned innermost(unsigned x)
{
    for (int i = 0; i < 4; i++)
        x = x * 1664525u + 1013904223u;
    return x;
}

static inline __attribute__((always_inline)) unsigned middle(unsigned x)
{
    unsigned y = innermost(x);
    return y ^ innermost(y >> 3);
}

__attribute__((noinline)) static unsigned local_outer(unsigned x)
{
    return middle(x) + 1;
}

__attribute__((noinline)) unsigned visible_outer(unsigned x)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < x; i++)
        sum += middle(i);
    return sum;
}

__asm__(".text\n.globl assembly_label\nassembly_label:\n nop\n nop\n nop\n ret\n");
void assembly_label(void);

int main(int argc, char **argv)
{
    unsigned seed = argc > 1 ? (unsigned)atoi(argv[1]) : 7;
    assembly_label();
    printf("%u\n", local_outer(seed) + visible_outer(seed));
    return 0;
}
