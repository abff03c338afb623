/* A threaded server: one thread makes requests, three take them from a queue; `threads [REQUESTS]`.

   PLANT_HASH20 repeats a fifth of `hash_words`. Which thread takes which request is the scheduler's; what is done in all is not.
   Prints the work done and a sum over all answers. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define OWN __attribute__((noinline, noclone))

enum { WORKERS = 3, QUEUE = 16, WORDS = 1600, SMALL = 128 };

struct request {
    uint32_t words[WORDS];
    uint32_t number;
};

static struct request queue[QUEUE];
static size_t first, waiting;
static int at_end;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t has_request = PTHREAD_COND_INITIALIZER, has_room = PTHREAD_COND_INITIALIZER;
static pthread_mutex_t shelf_lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t shelf[1024];
/* Always 0: see server.h. */
volatile uint32_t nothing;

/* --- the thread that makes requests --- */

static uint64_t stream = 0x9e3779b97f4a7c15ull;

static OWN uint32_t draw(void) {
    stream ^= stream << 13;
    stream ^= stream >> 7;
    stream ^= stream << 17;
    return (uint32_t)(stream >> 32);
}

static OWN void make_request(struct request *request, uint32_t number) {
    request->number = number;
    for (int i = 0; i < WORDS; i += 4) {
        uint32_t drawn = draw();
        for (int j = 0; j < 4; j++) request->words[i + j] = drawn * (uint32_t)(2 * j + 1) ^ drawn >> (7 * j);
    }
}

static OWN void put_request(const struct request *request) {
    pthread_mutex_lock(&lock);
    while (waiting == QUEUE) pthread_cond_wait(&has_room, &lock);
    queue[(first + waiting++) % QUEUE] = *request;
    pthread_cond_signal(&has_request);
    pthread_mutex_unlock(&lock);
}

static OWN void generate(uint32_t requests) {
    struct request request;
    for (uint32_t i = 0; i < requests; i++) {
        make_request(&request, i);
        put_request(&request);
    }
    pthread_mutex_lock(&lock);
    at_end = 1;
    pthread_cond_broadcast(&has_request);
    pthread_mutex_unlock(&lock);
}

/* --- the threads that answer --- */

static OWN int take_request(struct request *into) {
    pthread_mutex_lock(&lock);
    while (waiting == 0 && !at_end) pthread_cond_wait(&has_request, &lock);
    int is_one = waiting > 0;
    if (is_one) {
        *into = queue[first];
        first = (first + 1) % QUEUE;
        waiting--;
        pthread_cond_signal(&has_room);
    }
    pthread_mutex_unlock(&lock);
    return is_one;
}

/* A quarter of all. */
static OWN uint32_t hash_words(const uint32_t *words, size_t count) {
    uint32_t sum = 2166136261u;
#ifdef PLANT_HASH20
    uint32_t again = sum;
    for (size_t i = 0; i < count; i++)
        if (i % 5 == 0)
            for (int round = 0; round < 6; round++) again = (again ^ words[i] >> 6 * round) * 16777619u;
    sum ^= again & nothing;
#endif
    for (size_t i = 0; i < count; i++)
        for (int round = 0; round < 6; round++) sum = (sum ^ words[i] >> 6 * round) * 16777619u;
    return sum;
}

/* The largest part. */
static OWN uint32_t multiply(const uint32_t *words, size_t count) {
    uint32_t sum = 0;
    for (size_t i = 0; i + 16 < count; i += 2)
        for (size_t j = 0; j < 16; j++) sum = (sum ^ words[i + j] * words[i + 16]) * 5 + words[j];
    return sum;
}

static OWN void sift_down(uint32_t *heap, size_t at, size_t count) {
    for (size_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && heap[child + 1] > heap[child]) child++;
        if (heap[at] >= heap[child]) return;
        uint32_t kept = heap[at];
        heap[at] = heap[child];
        heap[child] = kept;
        at = child;
    }
}

static OWN uint32_t sort_words(const uint32_t *words) {
    uint32_t heap[SMALL];
    for (size_t i = 0; i < SMALL; i++) heap[i] = words[i];
    for (size_t i = SMALL / 2; i-- > 0;) sift_down(heap, i, SMALL);
    for (size_t i = SMALL; i-- > 1;) {
        uint32_t largest = heap[0];
        heap[0] = heap[i];
        heap[i] = largest;
        sift_down(heap, 0, i);
    }
    return heap[SMALL / 2];
}

static OWN uint32_t count_bits(const uint32_t *words, size_t count) {
    uint32_t bits = 0;
    for (size_t i = 0; i < count; i++)
        for (uint32_t word = words[i] & 0xff; word; word &= word - 1) bits++;
    return bits;
}

static OWN uint32_t divide(const uint32_t *words, size_t count) {
    uint64_t rest = 1;
    for (size_t i = 0; i < count; i++) rest = (rest << 20 | words[i] >> 12) % 1000003;
    return (uint32_t)rest;
}

static OWN uint32_t search(const uint32_t *words, uint32_t wanted) {
    uint32_t found = 0;
    for (size_t i = 0; i < WORDS; i++) found += (words[i] & 1023) == (wanted & 1023);
    return found;
}

static OWN uint32_t running_mean(const uint32_t *words, size_t count) {
    uint32_t mean = 0;
    for (size_t i = 0; i < count; i++) mean = mean - mean / 8 + words[i] / 8;
    return mean;
}

/* The shelf is everybody's; sums commute, so that the order of threads is not seen. */
static OWN void keep(uint32_t number, uint32_t sum) {
    pthread_mutex_lock(&shelf_lock);
    for (uint32_t i = 0; i < 8; i++) shelf[(number + i * 97) & 1023] += sum >> i;
    pthread_mutex_unlock(&shelf_lock);
}

static OWN size_t put_number(char *into, uint32_t number) {
    size_t length = 0;
    do into[length++] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    return length;
}

static OWN uint32_t reply(const uint32_t *parts, size_t count) {
    char text[160];
    size_t length = 0;
    uint32_t sum = 1;
    for (size_t i = 0; i < count; i++) length += put_number(text + length, parts[i]);
    for (size_t i = 0; i < length; i++) sum = sum * 31 + (uint8_t)text[i];
    return sum;
}

static OWN uint32_t digest(const struct request *request) {
    return hash_words(request->words, WORDS) ^ divide(request->words, 160);
}

static OWN uint32_t analyze(const struct request *request) {
    return multiply(request->words, WORDS) ^ running_mean(request->words, 800);
}

static OWN uint32_t handle(const struct request *request) {
    uint32_t parts[] = {
        digest(request), analyze(request), sort_words(request->words), count_bits(request->words, 320),
        search(request->words, request->number),
    };
    uint32_t sum = reply(parts, sizeof parts / sizeof *parts);
    keep(request->number, sum);
    return sum;
}

static OWN void *work(void *unused) {
    struct request request;
    uint32_t sum = 0;
    (void)unused;
    while (take_request(&request)) sum += handle(&request);
    return (void *)(uintptr_t)sum;
}

int main(int count, char **arguments) {
    uint32_t requests = count > 1 ? (uint32_t)atoi(arguments[1]) : 10000, sum = 0;
    pthread_t workers[WORKERS];
    for (int i = 0; i < WORKERS; i++)
        if (pthread_create(&workers[i], NULL, work, NULL) != 0) return 2;
    generate(requests);
    for (int i = 0; i < WORKERS; i++) {
        void *part;
        pthread_join(workers[i], &part);
        sum += (uint32_t)(uintptr_t)part;
    }
    printf("requests %u\nsum %08x\n", requests, sum);
    return 0;
}
