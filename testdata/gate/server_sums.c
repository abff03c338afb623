/* The sums of the server. */
#include "server.h"

static uint32_t crc_table[256];
volatile uint32_t spent, nothing;

OWN void sums_begin(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t sum = i;
        for (int bit = 0; bit < 8; bit++) sum = sum & 1 ? 0xedb88320u ^ (sum >> 1) : sum >> 1;
        crc_table[i] = sum;
    }
}

/* A byte a step, each waiting for the one before. */
OWN uint32_t crc(uint32_t sum, const uint8_t *bytes, size_t length) {
#ifdef PLANT_CRC20
    uint32_t again = sum;
    for (size_t i = 0; i < length / 5; i++) again = crc_table[(again ^ bytes[i]) & 255] ^ (again >> 8);
    sum ^= again & nothing;
#endif
    for (size_t i = 0; i < length; i++) sum = crc_table[(sum ^ bytes[i]) & 255] ^ (sum >> 8);
    return sum;
}

#ifdef MOVE
/* Half of what `crc` does elsewhere, under the same caller. */
OWN uint32_t crc_rest(uint32_t sum, const uint8_t *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) sum = crc_table[(sum ^ bytes[i]) & 255] ^ (sum >> 8);
    return sum;
}
#endif

OWN uint32_t check_body(const uint8_t *body, size_t length) {
    uint32_t sum = crc(~0u, body, length * 9 / 16);
#ifdef MOVE
    return ~crc_rest(sum, body + length * 7 / 16, length * 9 / 16);
#else
    return ~crc(sum, body + length * 7 / 16, length * 9 / 16);
#endif
}

OWN uint32_t adler(const uint8_t *bytes, size_t length) {
    uint32_t a = 1, b = 0;
    for (size_t i = 0; i < length; i++) {
        a = (a + bytes[i]) % 65521;
        b = (b + a) % 65521;
    }
    return b << 16 | a;
}

/* The small helper that is a function of its own, or no longer (INLINE): 32 bytes a call, so that a call is little of it. */
#ifdef INLINE
ALWAYS_INLINE
#else
static OWN
#endif
uint64_t mix_block(uint64_t sum, const uint8_t *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        sum = (sum ^ bytes[i]) * 0x100000001b3ull;
        sum ^= sum >> 29;
    }
    return sum;
}

OWN uint64_t hash_path(const char *text, size_t length) {
    uint64_t sum = 0xcbf29ce484222325ull;
    for (size_t i = 0; i < length; i += 32) {
        size_t left = length - i;
        sum = mix_block(sum, (const uint8_t *)text + i, left < 32 ? left : 32);
        sum = sum << 7 | sum >> 57;
    }
    return sum;
}

/* The helper that is part of its caller, or no longer (OUTLINE). */
#ifdef OUTLINE
static OWN
#else
ALWAYS_INLINE
#endif
uint64_t sign_block(uint64_t state, const uint8_t *bytes, uint64_t key) {
    for (size_t i = 0; i < 64; i += 2) {
        state += bytes[i] | (uint64_t)bytes[i + 1] << 32;
        state *= key | 1;
        state ^= state >> 31;
    }
    return state;
}

OWN uint64_t sign(const uint8_t *bytes, size_t length, uint64_t key) {
    uint64_t state = key;
    for (size_t i = 0; i + 64 <= length; i += 64) {
        state = sign_block(state, bytes + i, key);
        state = state << 11 | state >> 53;
    }
    return state;
}

/* About 1 % of all: each pass waits for the one before. */
OWN uint32_t parity(const uint8_t *bytes, size_t length) {
    uint32_t odd = 1;
#ifdef PLANT_SMALL2
    uint32_t again = 1;
    for (size_t i = 0; i < length; i++) again = (again * 33) ^ bytes[i];
    odd ^= again & nothing;
#endif
    for (size_t i = 0; i < length; i++) odd = (odd * 33) ^ bytes[i];
    return odd;
}

OWN uint64_t etag(uint32_t sum, uint64_t key) {
    uint64_t tag = key ^ sum;
    for (int i = 0; i < 24; i++) tag = tag * 6364136223846793005ull + 1442695040888963407ull;
    return tag;
}
