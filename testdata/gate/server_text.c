/* The text of the server: compression, sorting, writing of numbers. */
#include "server.h"

#include <string.h>

/* How much the best matches at a few places would save: the 40 % of the server. It looks three times; PLANT_WIN
   looks once, which takes half as long: branches of the first time are the worst predicted. */
OWN uint32_t find_matches(const uint8_t *body, size_t length) {
    uint32_t saved = 0;
#ifdef PLANT_WIN
    const int passes = 1;
#else
    const int passes = 3;
#endif
    for (int pass = 0; pass < passes; pass++) {
        spent = saved;
        saved = 0;
        for (size_t i = 64; i + 16 < length; i += 53) {
            uint32_t best = 0;
            for (size_t back = 1; back <= 48; back++) {
                uint32_t found = 0;
                while (found < 16 && body[i + found] == body[i + found - back]) found++;
                best = found > best ? found : best;
            }
            saved += best;
        }
    }
    return saved;
}

OWN size_t emit_literals(uint8_t *into, const uint8_t *body, size_t length) {
    size_t at = 0;
    for (size_t i = 0; i < length; i++) {
        if ((body[i] & 7) == 3) continue;
        into[at] = (uint8_t)(body[i] ^ (at & 15));
        at++;
    }
    return at;
}

OWN size_t compress_body(uint8_t *into, const uint8_t *body, size_t length) {
    uint32_t saved = find_matches(body, length);
    size_t at = emit_literals(into, body, length);
    into[at - 1] ^= (uint8_t)saved;
    return at;
}

static OWN int is_before(uint32_t a, uint32_t b) {
    uint32_t left = (a & 0xffff) * 7 + (a >> 16), right = (b & 0xffff) * 7 + (b >> 16);
    return left != right ? left < right : a < b;
}

#ifdef RENAME
OWN void order_records(uint32_t *records, size_t count) {
#else
OWN void sort_records(uint32_t *records, size_t count) {
#endif
    for (size_t i = 1; i < count; i++) {
        uint32_t record = records[i];
        size_t at = i;
        for (; at > 0 && is_before(record, records[at - 1]); at--) records[at] = records[at - 1];
        records[at] = record;
    }
}

static OWN size_t escape_byte(char *into, uint8_t byte) {
    static const char digits[] = "0123456789abcdef";
    into[0] = '%';
    into[1] = digits[byte >> 4];
    into[2] = digits[byte & 15];
    return 3;
}

OWN size_t escape(char *into, const uint8_t *bytes, size_t length) {
    size_t at = 0;
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] >= 'a' && bytes[i] <= 'w') into[at++] = (char)bytes[i];
        else at += escape_byte(into + at, bytes[i]);
    }
    return at;
}

OWN size_t put_number(char *into, uint64_t number) {
    char digits[24];
    size_t count = 0, at = 0;
    do digits[count++] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    while (count) into[at++] = digits[--count];
    return at;
}

OWN size_t put_hex(char *into, uint64_t number) {
    for (int i = 0; i < 16; i++) into[i] = "0123456789abcdef"[number >> (60 - 4 * i) & 15];
    return 16;
}

OWN size_t put_date(char *into, uint64_t seconds) {
    size_t at = put_number(into, 1970 + seconds / 31556952);
    into[at++] = '-';
    at += put_number(into + at, seconds / 86400 % 365);
    into[at++] = ' ';
    return at + put_number(into + at, seconds % 86400);
}

OWN uint32_t count_words(const uint8_t *bytes, size_t length) {
    uint32_t words = 0, inside = 0;
    for (size_t i = 0; i < length; i++) {
        uint32_t is_word = bytes[i] != ' ' && bytes[i] != '\n';
        words += is_word & ~inside;
        inside = is_word;
    }
    return words;
}

OWN uint32_t histogram(const uint8_t *bytes, size_t length) {
    uint32_t counts[32] = {0}, most = 0;
    for (size_t i = 0; i < length; i++) counts[bytes[i] & 31]++;
    for (int i = 0; i < 32; i++) most = counts[i] > most ? counts[i] : most;
    return most;
}

OWN uint32_t utf8_check(const uint8_t *bytes, size_t length) {
    uint32_t state = 0, bad = 0;
    for (size_t i = 0; i < length; i++) {
        state = state ? state - 1 : bytes[i] >= 0xc0 ? 1 : 0;
        bad += state > 3;
    }
    return bad + state;
}
