/* fuzz.h - what the fuzz targets share. Each is a program of its own: tools/fuzz.sh builds and runs it. */
#ifndef UVOLT_FUZZ_FUZZ_H
#define UVOLT_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                                          \
    do {                                                                                          \
        if (!(condition)) {                                                                       \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                       \
            abort();                                                                              \
        }                                                                                         \
    } while (0)

/* Exactly n bytes, so that the address sanitizer sees a step beyond them. */
static inline char *
exactly(const void *s, size_t n)
{
    char *copy = malloc(n != 0 ? n : 1);
    CHECK(copy != NULL);
    if (n != 0) {
        memcpy(copy, s, n);
    }
    return copy;
}

/* FNV-1a. */
static inline uint64_t
mix(uint64_t hash, const void *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        hash = (hash ^ ((const uint8_t *)s)[i]) * 0x100000001b3;
    }
    return hash;
}

static inline uint64_t
mix_number(uint64_t hash, uint64_t n)
{
    return mix(hash, &n, sizeof(n));
}

#endif
