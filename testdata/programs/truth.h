/*
 * The truth in a register: r15 holds MAGIC, a number, and which path of functions is being run.
 *
 * Built with -ffixed-r15 no code of this program touches r15 but these macros. A function sets it when it has been entered, and
 * puts the caller's back before it leaves, so between a call and ENTER the register still says the caller's path. libc was not
 * built so: it may keep something else there while it runs, and gives it back before it returns. What a callback sets is then
 * right, and a sample with anything else in the register says nothing.
 */
#ifndef TRUTH_H
#define TRUTH_H

#include <stdint.h>

#define MAGIC UINT64_C(0x7a6df1a6)
#define TAG(path, number) (MAGIC << 32 | (uint64_t)(number) << 16 | (uint64_t)(path))

#define READ_TAG(into) __asm__ volatile("movq %%r15, %0" : "=r"(into)::"memory")
#define WRITE_TAG(from) __asm__ volatile("movq %0, %%r15" ::"r"((uint64_t)(from)) : "memory")

/* Between the two, the register says `path`; neither is moved across the other. */
#define ENTER(path) ENTER_AT(path, 0)
#define ENTER_AT(path, number)                                                                                         \
    uint64_t callers_tag;                                                                                              \
    READ_TAG(callers_tag);                                                                                             \
    WRITE_TAG(TAG(path, number))
#define LEAVE() WRITE_TAG(callers_tag)

/* One latency-bound chain, in the function that asks for it: no frame of its own. */
#define WORK(turns)                                                                                                    \
    do {                                                                                                               \
        uint64_t chain = 1;                                                                                            \
        for (uint64_t turn = 0; turn < (turns); turn++) {                                                              \
            chain = chain * UINT64_C(6364136223846793005) + 1442695040888963407u;                                      \
            __asm__ volatile("" : "+r"(chain));                                                                        \
        }                                                                                                              \
    } while (0)

/* Paths of the library; the others are numbered by the program. */
enum { PATH_LIBRARY_OUTER = 200, PATH_LIBRARY_LEAF, PATH_CONSTRUCTOR, PATH_DESTRUCTOR };

#endif
