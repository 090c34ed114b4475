/* http1_error.c - what went wrong, in aiohttp's words.
 *
 * Runs after an error only. The line it is about comes from a peer: it is cut to a fixed length and
 * escaped as Python's repr() of bytes does. */
#include "proto/http1.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"

#define SHOWN_MAX 100 /* bytes of the peer's on one side of the mark */

typedef struct text {
    char *at;
    size_t len, room; /* room counts the NUL */
} text;

static void __attribute__((format(printf, 2, 3)))
put(text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->at + t->len, t->room - t->len, format, args);
    va_end(args);
    size_t left = t->room - t->len - 1;
    t->len += n < 0 ? 0 : (size_t)n < left ? (size_t)n : left;
}

/* The bytes as repr() writes them between the quotes. */
static void
put_escaped(text *t, const char *s, size_t n, char quote)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        switch (c) {
        case '\t':
            put(t, "\\t");
            break;
        case '\n':
            put(t, "\\n");
            break;
        case '\r':
            put(t, "\\r");
            break;
        default:
            if (c < 0x20 || c >= 0x7f) {
                put(t, "\\x%02x", c);
            }
            else {
                put(t, c == '\\' || c == (unsigned char)quote ? "\\%c" : "%c", c);
            }
        }
    }
}

static char
quote_of(const char *s, size_t n)
{
    return n != 0 && memchr(s, '\'', n) != NULL && memchr(s, '"', n) == NULL ? '"' : '\'';
}

static void
put_repr(text *t, const char *s, size_t n, const char *more)
{
    char quote = quote_of(s, n);
    put(t, "b%c", quote);
    put_escaped(t, s, n, quote);
    put(t, "%s%c", more, quote);
}

/* "error:", the line with the byte `at` in it, and a mark under that byte. */
static void
put_place(text *t, const char *error, const char *base, size_t len, size_t at)
{
    at = at < len ? at : len;
    size_t start = at, end = at;
    while (start > 0 && at - start < SHOWN_MAX &&
           !(start >= 2 && base[start - 1] == '\n' && base[start - 2] == '\r')) {
        start--;
    }
    while (end < len && end - at < SHOWN_MAX &&
           !(base[end] == '\r' && end + 1 < len && base[end + 1] == '\n')) {
        end++;
    }
    put(t, "%s:\n\n  ", error);
    put_repr(t, base + start, end - start, "");
    put(t, "\n  ");
    /* As far as the repr of what is before it goes. */
    text measure = {t->at + t->len, 0, t->room - t->len};
    put_repr(&measure, base + start, at - start, "");
    size_t indent = measure.len > 0 ? measure.len - 1 : 0;
    memset(t->at + t->len, ' ', indent);
    t->len += indent;
    t->at[t->len] = '\0';
    put(t, "^");
}

static void
put_too_long(text *t, unsigned limit, const char *base, size_t len, size_t at)
{
    at = at < len ? at : len;
    while (at < len && (base[at] == ' ' || base[at] == '\t')) {
        at++;
    }
    size_t n = len - at < SHOWN_MAX ? len - at : SHOWN_MAX;
    put(t, "Got more than %u bytes when reading: ", limit);
    put_repr(t, base + at, n, "...");
    put(t, ".");
}

size_t
http1_head_error_text(const http1_head *h, int code, const http1_limits *l, const char *base,
                      size_t len, char *out, size_t room)
{
    text t = {out, 0, room};
    const char *error = h->error != NULL ? h->error : "Bad Request";
    size_t at = h->error_at < len ? h->error_at : len, n;
    out[0] = '\0';
    switch (code) {
    case HTTP1_E_STATUS_LINE:
        put(&t, "Bad status line:\n  ");
        put_place(&t, error, base, len, at);
        break;
    case HTTP1_E_TOO_LONG: /* state 0: of the status line */
        put_too_long(&t, h->state == 0 ? l->max_line : l->max_field, base, len, at);
        break;
    case HTTP1_E_VALUE:
        for (n = 0; at + n < len && n < SHOWN_MAX && base[at + n] != '\r' && base[at + n] != '\n';) {
            n++;
        }
        put(&t, "Invalid HTTP header: ");
        put_repr(&t, base + at, n, "");
        break;
    case HTTP1_E_HEADER:
        put_place(&t, error, base, len, at);
        break;
    case HTTP1_E_FRAMING:
        if (strncmp(error, "Duplicate '", 11) != 0) {
            put_place(&t, error, base, len, at);
            break;
        }
        /* fall through */
    default:
        put(&t, "%s", error);
    }
    return t.len;
}

size_t
http1_body_error_text(const http1_body *b, int code, const char *base, size_t len, char *out,
                      size_t room)
{
    text t = {out, 0, room};
    const char *error = b->error != NULL ? b->error : "Bad Request";
    out[0] = '\0';
    switch (code) {
    case HTTP1_E_SHORT_LENGTH:
        put(&t, "%s (received %llu of %llu bytes).", error,
            (unsigned long long)(b->total - b->left), (unsigned long long)b->total);
        break;
    case HTTP1_E_TOO_LONG:
        put_too_long(&t, b->trailers != 0 ? b->limits.max_field : b->limits.max_line, base, len, 0);
        break;
    case HTTP1_E_CHUNK:
    case HTTP1_E_HEADER:
        put_place(&t, error, base, len, b->error_at);
        break;
    default:
        put(&t, "%s", error);
    }
    return t.len;
}

const char *
http1_error_kind(int code)
{
    switch (code) {
    case HTTP1_E_STATUS_LINE:
        return "BadStatusLine";
    case HTTP1_E_TOO_LONG:
        return "LineTooLong";
    case HTTP1_E_VALUE:
        return "InvalidHeader";
    case HTTP1_E_SHORT_CHUNKED:
        return "TransferEncodingError";
    case HTTP1_E_SHORT_LENGTH:
        return "ContentLengthError";
    default:
        return "BadHttpMessage";
    }
}
