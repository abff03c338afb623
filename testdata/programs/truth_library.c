/*
 * The library that truth_paths loads and unloads all the time: works in its constructor, in a function, in a callback of the
 * program's, and in its destructor.
 */
#include "truth.h"

#define NOIPA __attribute__((noipa))

NOIPA __attribute__((constructor)) void library_constructor(void) {
    ENTER(PATH_CONSTRUCTOR);
    WORK(20000);
    LEAVE();
}

NOIPA __attribute__((destructor)) void library_destructor(void) {
    ENTER(PATH_DESTRUCTOR);
    WORK(20000);
    LEAVE();
}

NOIPA void library_leaf(void) {
    ENTER(PATH_LIBRARY_LEAF);
    WORK(20000);
    LEAVE();
}

NOIPA void library_outer(void (*callback)(void)) {
    ENTER(PATH_LIBRARY_OUTER);
    library_leaf();
    callback();
    WORK(2000);
    LEAVE();
}

/* Nothing: for a loop that is mostly the program's PLT. */
NOIPA void library_nothing(void) {}
