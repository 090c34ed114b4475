/* clock.h - the system's clock; the loop's is the same, unless the program puts another in its place (loop_now). */
#ifndef UVOLT_CORE_CLOCK_H
#define UVOLT_CORE_CLOCK_H

#include <time.h>

/* Seconds on CLOCK_MONOTONIC: the same number as time.monotonic(), which tests and aiohttp mix. */
static inline double
clock_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)(ts.tv_sec * 1000000000LL + ts.tv_nsec) / 1e9;
}

#endif
