/* compiler.h - what the compiler offers, under one name each. C only, no Python, no libuv. */
#ifndef UVOLT_BASE_COMPILER_H
#define UVOLT_BASE_COMPILER_H

#include <stddef.h>

#if defined(__GNUC__) || defined(__clang__)
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define COLD __attribute__((cold, noinline))
#else
#define LIKELY(x) (x)
#define UNLIKELY(x) (x)
#define COLD
#endif

/* The struct of `type` whose `member` is at `ptr`. */
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

/* A METH_FASTCALL function as the table of methods wants it. */
#define FAST(f) ((PyCFunction)(void (*)(void))(f))

/* Free lists hide use-after-free from the sanitizers, so such builds go without them. */
#if defined(UVOLT_NO_POOLS) || defined(__SANITIZE_ADDRESS__)
#define UVOLT_POOL_MAX 0
#else
#define UVOLT_POOL_MAX 256
#endif

#endif
