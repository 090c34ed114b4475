/* failing_malloc.c - preloaded: memory that libz, libbrotli and libzstd ask for runs out when a test says so. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

void decoders_fail_after(long n);
long decoders_asked(void);

static long left = -1; /* requests that are granted before all fail; -1: all are granted */
static long asked;     /* since decoders_fail_after() */

void
decoders_fail_after(long n)
{
    left = n;
    asked = 0;
}

long
decoders_asked(void)
{
    return asked;
}

static int
fails(void *caller)
{
    static const char *const libraries[] = {"libz.so", "libbrotli", "libzstd"};
    Dl_info info;
    if (left < 0 || dladdr(caller, &info) == 0 || info.dli_fname == NULL) {
        return 0;
    }
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
        if (strstr(info.dli_fname, libraries[i]) != NULL) {
            return asked++ >= left;
        }
    }
    return 0;
}

void *
malloc(size_t n)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(n);
}

void *
calloc(size_t count, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

void *
realloc(void *memory, size_t n)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(memory, n);
}
