/* The server: requests are made, read, answered; `server [REQUESTS]`. Prints the work done and a sum over all answers. */
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t stream = 0x9e3779b97f4a7c15ull;

static OWN uint32_t draw(void) {
    stream ^= stream << 13;
    stream ^= stream >> 7;
    stream ^= stream << 17;
    return (uint32_t)(stream >> 32);
}

/* --- requests --- */

static OWN void make_body(uint8_t *body) {
    static const char words[] = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi ";
    for (size_t at = 0; at < BODY;) {
        uint32_t from = draw() % 48, length = 12 + (draw() & 15);
        for (uint32_t i = 0; i < length && at < BODY; i++) body[at++] = (uint8_t)words[from + i];
    }
}

static OWN void make_head(struct request *request) {
    static const char *const methods[] = {"GET", "PUT", "POST", "LIST"};
    request->head_length =
        (size_t)snprintf(request->head, sizeof request->head,
                         "%s /shop/%x/items?page=%x&sort=price HTTP/1.1\nHost: shop\nAccept: text/html, text/plain\n"
                         "Cookie: %08x%08x\nAgent: bench\n",
                         methods[draw() & 3], draw() & 0xffff, draw() & 255, draw(), draw());
}

static OWN void receive(struct request *request) {
    make_head(request);
    make_body(request->body);
}

/* --- reading --- */

static OWN size_t parse_method(const struct request *request, struct parsed *parsed) {
    size_t at = 0;
    for (; request->head[at] != ' '; at++) parsed->method = parsed->method * 31 + (uint8_t)request->head[at];
    return at + 1;
}

static OWN size_t parse_path(const struct request *request, size_t at, struct parsed *parsed) {
    for (; request->head[at] != '?'; at++) parsed->path = parsed->path * 33 + (uint8_t)request->head[at];
    return at + 1;
}

static OWN size_t parse_query(const struct request *request, size_t at, struct parsed *parsed) {
    for (; request->head[at] != '\n'; at++) parsed->query = (parsed->query ^ (uint8_t)request->head[at]) * 37;
    return at + 1;
}

static OWN size_t trim(const char *text, size_t length) {
    while (length && (text[length - 1] == ' ' || text[length - 1] == '\r')) length--;
    return length;
}

static OWN uint32_t parse_header(const char *line, size_t length) {
    uint32_t name = 0, value = 0;
    size_t at = 0;
    for (; at < length && line[at] != ':'; at++) name = name * 31 + ((uint8_t)line[at] | 32);
    for (; at < length; at++) value = (value * 131) ^ (uint8_t)line[at];
    return name ^ value;
}

static OWN void parse_headers(const struct request *request, size_t at, struct parsed *parsed) {
    while (at < request->head_length) {
        const char *line = request->head + at;
        size_t length = (size_t)((const char *)memchr(line, '\n', request->head_length - at) - line);
        parsed->headers ^= parse_header(line, trim(line, length));
        at += length + 1;
    }
}

static OWN void parse_request(const struct request *request, struct parsed *parsed) {
    memset(parsed, 0, sizeof *parsed);
    size_t at = parse_method(request, parsed);
    at = parse_path(request, at, parsed);
    at = parse_query(request, at, parsed);
    parse_headers(request, at, parsed);
}

/* --- the shop --- */

static uint32_t shelf[4096];

static OWN void store(uint64_t key, uint32_t value) {
    size_t at = key & 4095;
    for (int tries = 0; tries < 8 && shelf[at] != 0; tries++) at = (at + 1) & 4095;
    shelf[at] = value | 1;
}

static OWN uint32_t look_up(uint64_t key) {
    uint32_t found = 0;
    size_t at = key & 4095;
    for (int tries = 0; tries < 40; tries++) {
        found = found * 31 + shelf[at];
        at = (at + 1 + (found & 1)) & 4095;
    }
    return found;
}

static OWN void collect(uint32_t *records, uint64_t key) {
    for (size_t i = 0; i < RECORDS; i++) records[i] = (uint32_t)(key * (i + 1) >> 17) ^ shelf[(key + i * 61) & 4095];
}

static OWN uint32_t price(const uint32_t *records, size_t count) {
    uint32_t sum = 0;
    for (size_t i = 0; i < count; i++) sum = (sum + records[i] % 997) % 65537;
    return sum;
}

static OWN uint32_t list_items(uint64_t key) {
    uint32_t records[RECORDS];
    collect(records, key);
#ifdef RENAME
    order_records(records, RECORDS);
#else
    sort_records(records, RECORDS);
#endif
    return price(records, RECORDS);
}

static OWN uint32_t authorize(const struct request *request, uint64_t key) {
    return (uint32_t)(sign(request->body, 896, key) >> 32) ^ parity(request->body, 288);
}

static OWN uint32_t inspect(const uint8_t *body) {
    return count_words(body, 160) + histogram(body, 256) + utf8_check(body, 256);
}

/* --- answering --- */

static uint32_t metrics[64];

static OWN void measure(const struct parsed *parsed, size_t length) {
    for (int i = 0; i < 8; i++) metrics[(parsed->path + (uint32_t)i * 7) & 63] += (uint32_t)length >> i;
}

static OWN size_t put_header(char *into, const char *name, uint64_t value) {
    size_t length = strlen(name);
    memcpy(into, name, length);
    return length + put_number(into + length, value);
}

static OWN uint32_t answer(const struct request *request, const struct parsed *parsed, uint32_t result, uint64_t key) {
    static uint8_t packed[BODY];
    static char text[4 * BODY];
    size_t length = compress_body(packed, request->body, BODY);
    size_t at = put_header(text, "HTTP/1.1 200\nLength: ", length);
    at += put_header(text + at, "\nItems: ", result);
    at += put_hex(text + at, etag(result, key));
    at += put_date(text + at, 1700000000u + parsed->query % 65536);
    at += escape(text + at, packed, 96);
    measure(parsed, at);
    return adler((const uint8_t *)text, at);
}

static OWN uint32_t handle(const struct request *request) {
    struct parsed parsed;
    parse_request(request, &parsed);
    uint64_t key = hash_path(request->head, request->head_length);
    uint32_t sum = check_body(request->body, BODY);
    uint32_t result = authorize(request, key) ^ inspect(request->body) ^ look_up(key);
    store(key, sum);
    result ^= list_items(key);
    return answer(request, &parsed, result, key) ^ sum;
}

static OWN uint32_t serve(uint32_t requests) {
    static struct request request;
    uint32_t sum = 0;
    for (uint32_t i = 0; i < requests; i++) {
        receive(&request);
        sum = sum * 31 + handle(&request);
    }
    return sum;
}

int main(int count, char **arguments) {
    uint32_t requests = count > 1 ? (uint32_t)atoi(arguments[1]) : 23500;
    sums_begin();
    uint32_t sum = serve(requests);
    printf("requests %u\nsum %08x\n", requests, sum);
    return 0;
}
