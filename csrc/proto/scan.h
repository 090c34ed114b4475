/* scan.h - how far a run of bytes of one class goes: byte by byte, or 16 or 32 at a time.
 *
 * The only vector code there is. With UVOLT_NO_SIMD, and on other processors, there is none.
 * Inline, for the unit that chooses among them at run time (http1_lines.c). All of a family give the
 * same answer, and none reads a byte at or behind `end`. */
#ifndef UVOLT_PROTO_SCAN_H
#define UVOLT_PROTO_SCAN_H

#include "base/compiler.h"
#include "proto/chars.h"

#define SCAN_INLINE static inline __attribute__((always_inline))

typedef const char *(*scan_fn)(const char *p, const char *end);

/* The first byte that is no tchar. */
SCAN_INLINE const char *
scan_token(const char *p, const char *end)
{
    while (p < end && char_is(*p, CHAR_TOKEN)) {
        p++;
    }
    return p;
}

/* The first control byte other than HTAB. */
SCAN_INLINE const char *
scan_value(const char *p, const char *end)
{
    while (p < end && char_is(*p, CHAR_VALUE)) {
        p++;
    }
    return p;
}

#if defined(__x86_64__) && defined(__GNUC__) && !defined(UVOLT_NO_SIMD)
#define SCAN_X86 1
#include <immintrin.h>

#define SCAN_SSE __attribute__((target("sse4.2")))
#define SCAN_AVX2 __attribute__((target("avx2,bmi")))

/* A byte is a tchar if the bit of its upper half is set in the mask of its lower half. */
#define SCAN_TOKEN_MASKS                                                                          \
    0xe8, 0xfc, 0xf8, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc, 0xf8, 0xf8, 0xf4, 0x54, 0xd0, 0x54, 0xf4, 0x70

/* One bit for each of 16 bytes that is a control byte other than HTAB. */
SCAN_INLINE SCAN_SSE unsigned
scan_controls_sse(const char *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)p);
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
    __m128i tab = _mm_cmpeq_epi8(v, _mm_set1_epi8('\t'));
    __m128i del = _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, low), del));
}

SCAN_INLINE SCAN_SSE const char *
scan_value_sse(const char *p, const char *end)
{
    for (; end - p >= 16; p += 16) {
        unsigned found = scan_controls_sse(p);
        if (found != 0) {
            return p + __builtin_ctz(found);
        }
    }
    return scan_value(p, end);
}

SCAN_INLINE SCAN_SSE const char *
scan_token_sse(const char *p, const char *end)
{
    const __m128i masks = _mm_setr_epi8(SCAN_TOKEN_MASKS);
    const __m128i bits = _mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, (char)128, 0, 0, 0, 0, 0, 0, 0, 0);
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)p);
        __m128i mask = _mm_shuffle_epi8(masks, _mm_and_si128(v, _mm_set1_epi8(0x0f)));
        __m128i high = _mm_and_si128(_mm_srli_epi16(v, 4), _mm_set1_epi8(0x0f));
        __m128i bad =
            _mm_cmpeq_epi8(_mm_and_si128(mask, _mm_shuffle_epi8(bits, high)), _mm_setzero_si128());
        unsigned found = (unsigned)_mm_movemask_epi8(bad);
        if (found != 0) {
            return p + __builtin_ctz(found);
        }
    }
    return scan_token(p, end);
}

SCAN_INLINE SCAN_AVX2 const char *
scan_value_avx2(const char *p, const char *end)
{
    for (; end - p >= 32; p += 32) {
        __m256i v = _mm256_loadu_si256((const __m256i *)p);
        __m256i low = _mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(0x1f)), v);
        __m256i tab = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\t'));
        __m256i del = _mm256_cmpeq_epi8(v, _mm256_set1_epi8(0x7f));
        __m256i bad = _mm256_or_si256(_mm256_andnot_si256(tab, low), del);
        unsigned found = (unsigned)_mm256_movemask_epi8(bad);
        if (found != 0) {
            return p + __builtin_ctz(found);
        }
    }
    return scan_value_sse(p, end);
}
#endif

#endif
