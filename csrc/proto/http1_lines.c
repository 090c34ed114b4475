/* http1_lines.c - the header lines of a response as almost all of them are, many at a time.
 *
 * One function, compiled for what the processor can do: byte by byte, with 16 and with 32 bytes at a
 * time. Which one runs is asked at each call; that is one load and a test. */
#include "proto/http1_lines.h"

#include "base/compiler.h"
#include "proto/scan.h"

SCAN_INLINE int
is_crlf(const char *p)
{
    return memcmp(p, "\r\n", 2) == 0;
}

SCAN_INLINE int
lines(http1_head *h, const http1_limits *l, const char *base, size_t len, scan_fn token,
      scan_fn value)
{
    const char *p = base + h->line, *end = base + len;
    http1_field *f = h->fields + h->nfields;
    const http1_field *last =
        h->fields + (h->fields_room < l->max_headers ? h->fields_room : l->max_headers);
    int whole = 0;
    for (;;) {
        const char *colon = token(p, end);
        if (UNLIKELY(end - colon < 2)) {
            break;
        }
        if (UNLIKELY(*colon != ':' || colon == p)) {
            whole = colon == p && is_crlf(p);
            p += 2 * whole;
            break;
        }
        const char *v = colon + 1;
        v += *v == ' ';
        while (v < end && UNLIKELY(char_is_space(*v))) {
            v++;
        }
        const char *e = value(v, end), *next = e + 2;
        if (UNLIKELY(end - e < 2 || !is_crlf(e) || f >= last || (size_t)(e - p) > l->max_field)) {
            break;
        }
        while (UNLIKELY(char_is_space(e[-1])) && e > v) { /* at v[-1] may be a colon */
            e--;
        }
        *f++ = (http1_field){(uint32_t)(p - base), (uint32_t)(colon - p), (uint32_t)(v - base),
                             (uint32_t)(e - v)};
        p = next;
    }
    h->nfields = (uint32_t)(f - h->fields);
    h->line = (uint32_t)(p - base);
    return whole;
}

static int
lines_plain(http1_head *h, const http1_limits *l, const char *base, size_t len)
{
    return lines(h, l, base, len, scan_token, scan_value);
}

#ifdef SCAN_X86
static SCAN_SSE int
lines_sse(http1_head *h, const http1_limits *l, const char *base, size_t len)
{
    return lines(h, l, base, len, scan_token_sse, scan_value_sse);
}

static SCAN_AVX2 int
lines_avx2(http1_head *h, const http1_limits *l, const char *base, size_t len)
{
    return lines(h, l, base, len, scan_token_sse, scan_value_avx2);
}
#endif

int
http1_lines(http1_head *h, const http1_limits *l, const char *base, size_t len)
{
#ifdef SCAN_X86
    if (LIKELY(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi"))) {
        return lines_avx2(h, l, base, len);
    }
    if (__builtin_cpu_supports("sse4.2")) {
        return lines_sse(h, l, base, len);
    }
#endif
    return lines_plain(h, l, base, len);
}
