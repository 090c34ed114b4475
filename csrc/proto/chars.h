/* chars.h - the classes of bytes that HTTP's grammar is made of (RFC 9110 section 5.6). */
#ifndef UVOLT_PROTO_CHARS_H
#define UVOLT_PROTO_CHARS_H

#include <stdint.h>
#include <string.h>

enum {
    CHAR_TOKEN = 1,   /* tchar */
    CHAR_VALUE = 2,   /* HTAB, SP, VCHAR, obs-text: what a field value may hold */
    CHAR_HEX = 4,     /* either case */
    CHAR_VISIBLE = 8, /* VCHAR */
    CHAR_QUOTED = 16, /* qdtext */
    CHAR_PATH = 32,   /* of a URL's path: what yarl leaves as it is */
    CHAR_QUERY = 64,  /* of a query, ditto */
    CHAR_HOST = 128,  /* of a plain host name: lower-case letters, digits, "-", "_", "." */
};

extern const uint8_t char_class[256];

static inline int
char_is(char c, int classes)
{
    return (char_class[(uint8_t)c] & classes) != 0;
}

static inline int
char_is_space(char c)
{
    return c == ' ' || c == '\t';
}

/* Of a CHAR_HEX. */
static inline unsigned
char_hex(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

/* Whether n bytes equal `lower`, which is in lower case, in any case of ASCII. Meant for a literal:
 * the comparison is of whole words then. Exact for what holds letters, digits and '-' only, if `s`
 * is of token bytes. */
static inline int
char_equal(const char *s, const char *lower, size_t n)
{
    const uint64_t fold = 0x2020202020202020;
    uint64_t a, b;
    if (n < sizeof(a)) {
        for (size_t i = 0; i < n; i++) {
            if ((s[i] | 0x20) != lower[i]) {
                return 0;
            }
        }
        return 1;
    }
    for (size_t i = 0;; i = i + 2 * sizeof(a) <= n ? i + sizeof(a) : n - sizeof(a)) {
        memcpy(&a, s + i, sizeof(a));
        memcpy(&b, lower + i, sizeof(b));
        if ((a | fold) != b) {
            return 0;
        }
        if (i == n - sizeof(a)) {
            return 1;
        }
    }
}

#endif
