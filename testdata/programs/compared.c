/* compared HASHES CHECKSUMS [STATUS]: one of two commands to compare.
 *
 * A STATUS below 0 is the signal that ends it. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned char block[1 << 16];

__attribute__((noinline)) static uint32_t hash(uint32_t sum)
{
    for (int i = 0; i < (int)sizeof block; i++)
        sum = sum * 31 + block[i];
    return sum;
}

__attribute__((noinline)) static uint32_t checksum(uint32_t sum)
{
    for (int i = 0; i < (int)sizeof block / 8; i++) {
        sum ^= block[i];
        for (int bit = 0; bit < 8; bit++)
            sum = (sum >> 1) ^ (0xedb88320u & -(sum & 1));
    }
    return sum;
}

int main(int count, char **words)
{
    int hashes = count > 1 ? atoi(words[1]) : 100, checksums = count > 2 ? atoi(words[2]) : 100;
    int status = count > 3 ? atoi(words[3]) : 0;
    uint32_t sum = 1;
    while (getchar() != EOF)
        sum++;
    for (int i = 0; i < hashes; i++)
        sum = hash(sum);
    for (int i = 0; i < checksums; i++)
        sum = checksum(sum);
    printf("%u\nrequests: %d\n", sum, hashes);
    fprintf(stderr, "begun\ndone: %d\n", hashes + checksums);
    fflush(NULL);
    if (status < 0)
        raise(-status);
    return status;
}
