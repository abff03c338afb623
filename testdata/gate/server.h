/* A request server in one process, as three objects: server.c reads and answers, server_sums.c sums, server_text.c works on text.
   README.md says what each define changes. None of them changes a request, an answer or the stream of random numbers. */
#ifndef SERVER_H
#define SERVER_H

#include <stddef.h>
#include <stdint.h>

/* One symbol for each function, whatever the compiler would rather do. */
#define OWN __attribute__((noinline, noclone))
#define ALWAYS_INLINE static inline __attribute__((always_inline))

enum { BODY = 1472, RECORDS = 40 };

struct request {
    char head[256];         /* "PUT /a/b?c=1 HTTP/1.1\n", then headers */
    uint8_t body[BODY];
    size_t head_length;
};

struct parsed {
    uint32_t method, path, query, headers;
};

/* What is computed for its cost alone goes here: no compiler leaves it out. */
extern volatile uint32_t spent;
/* Always 0: what is masked by it must be known before it is used, so that a plant and what it stands before do not overlap. */
extern volatile uint32_t nothing;

/* server_sums.c */
uint32_t check_body(const uint8_t *body, size_t length);
uint32_t crc(uint32_t sum, const uint8_t *bytes, size_t length);
uint32_t adler(const uint8_t *bytes, size_t length);
uint64_t hash_path(const char *text, size_t length);
uint64_t sign(const uint8_t *bytes, size_t length, uint64_t key);
uint32_t parity(const uint8_t *bytes, size_t length);
uint64_t etag(uint32_t sum, uint64_t key);
void sums_begin(void);

/* server_text.c */
size_t compress_body(uint8_t *into, const uint8_t *body, size_t length);
void sort_records(uint32_t *records, size_t count);
void order_records(uint32_t *records, size_t count);
size_t escape(char *into, const uint8_t *bytes, size_t length);
size_t put_number(char *into, uint64_t number);
size_t put_hex(char *into, uint64_t number);
size_t put_date(char *into, uint64_t seconds);
uint32_t count_words(const uint8_t *bytes, size_t length);
uint32_t histogram(const uint8_t *bytes, size_t length);
uint32_t utf8_check(const uint8_t *bytes, size_t length);

#endif
