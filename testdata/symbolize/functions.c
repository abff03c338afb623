/* Functions that no symbol names once the file is stripped, of several sizes, one with a cold part; and bytes between them
   that belong to none. */
#include <stdio.h>
#include <stdlib.h>

#define OWN static __attribute__((noinline, noclone))

OWN unsigned tiny(unsigned x)
{
    return x * 2654435761u;
}

OWN unsigned looping(unsigned x)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < x % 64; i++)
        sum += tiny(sum ^ i);
    return sum;
}

__attribute__((cold, noinline)) static void complain(unsigned x)
{
    fprintf(stderr, "%u\n", x);
}

OWN unsigned with_cold_part(unsigned x)
{
    if (__builtin_expect(x == 12345, 0)) {
        complain(x);
        complain(x + 1);
        abort();
    }
    return looping(x) + 1;
}

/* Bytes in the code that no function covers. */
__asm__(".text\nbetween:\n.zero 64\n");

OWN int compare(const void *a, const void *b)
{
    unsigned left = *(const unsigned *)a, right = *(const unsigned *)b;
    return left < right ? -1 : left > right;
}

OWN unsigned recursive(unsigned x)
{
    return x < 2 ? with_cold_part(x) : recursive(x - 1) + tiny(recursive(x - 2));
}

int main(int argc, char **argv)
{
    unsigned numbers[64];
    (void)argv;
    for (unsigned i = 0; i < 64; i++)
        numbers[i] = looping(i + (unsigned)argc);
    qsort(numbers, 64, sizeof *numbers, compare);
    printf("%u\n", numbers[3] + recursive(10));
    return 0;
}
