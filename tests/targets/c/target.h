// For the C and C++ targets. LEAKER(f) is a function f(n) that allocates n bytes from its own frame and keeps them;
// CHURN(n) is n allocations that are freed at once.
#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// What musl has not.
#ifndef M_ARENA_MAX
#define M_ARENA_MAX 0
#define mallopt(parameter, value) ((void)(parameter), (void)(value), 1)
#endif

// Through volatile, because compilers drop an allocation that nobody looks at.
static void *volatile kept;

#define NOINLINE __attribute__((noinline, noclone))
#define LEAKER(f)                                                                                                      \
    NOINLINE void *f(size_t n) {                                                                                       \
        void *block = malloc(n);                                                                                       \
        if (block)                                                                                                     \
            memset(block, 0x5a, n);                                                                                    \
        kept = block;                                                                                                  \
        __asm__ volatile("" ::: "memory");                                                                             \
        return block;                                                                                                  \
    }
#define CHURN(n)                                                                                                       \
    do {                                                                                                               \
        for (int churn_ = 0; churn_ < (n); churn_++) {                                                                 \
            void *block_ = malloc(16 + churn_ % 200);                                                                  \
            kept = block_;                                                                                             \
            free(block_);                                                                                              \
        }                                                                                                              \
    } while (0)
