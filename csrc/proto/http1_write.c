/* http1_write.c - request heads and chunk framing into a growing buffer. */
#include "proto/http1_write.h"

#include "base/compiler.h"
#include "proto/chars.h"

static COLD int
refuse(int code, size_t at, size_t *bad)
{
    if (bad != NULL) {
        *bad = at;
    }
    return code;
}

/* The first byte that is in none of the classes; n if there is none. */
static size_t
span_of(const char *s, size_t n, int classes)
{
    size_t i = 0;
    while (i < n && char_is(s[i], classes)) {
        i++;
    }
    return i;
}

int
http1_check_token(const char *s, size_t n, size_t *bad)
{
    size_t at = span_of(s, n, CHAR_TOKEN);
    return LIKELY(at == n && n != 0) ? 0 : refuse(HTTP1_W_NAME, at, bad);
}

int
http1_check_target(const char *s, size_t n, size_t *bad)
{
    size_t at = 0;
    while (at < n && (char_is(s[at], CHAR_VISIBLE) || (unsigned char)s[at] >= 0x80)) {
        at++;
    }
    return LIKELY(at == n && n != 0) ? 0 : refuse(HTTP1_W_TARGET, at, bad);
}

int
http1_check_value(const char *s, size_t n, size_t *bad)
{
    size_t at = span_of(s, n, CHAR_VALUE);
    return LIKELY(at == n) ? 0 : refuse(HTTP1_W_VALUE, at, bad);
}

int
http1_write_request(buf *out, const char *method, size_t method_len, const char *target,
                    size_t target_len, int minor)
{
    if (UNLIKELY(http1_check_token(method, method_len, NULL) < 0)) {
        return HTTP1_W_METHOD;
    }
    if (UNLIKELY(http1_check_target(target, target_len, NULL) < 0)) {
        return HTTP1_W_TARGET;
    }
    if (UNLIKELY(method_len > out->max || target_len > out->max)) {
        return BUF_FULL;
    }
    const char *tail = minor != 0 ? " HTTP/1.1\r\n" : " HTTP/1.0\r\n";
    int rc = buf_reserve(out, method_len + 1 + target_len + 11);
    if (LIKELY(rc == BUF_OK)) {
        buf_put(out, method, method_len);
        buf_put(out, " ", 1);
        buf_put(out, target, target_len);
        buf_put(out, tail, 11);
    }
    return rc;
}

int
http1_write_field(buf *out, const char *name, size_t name_len, const char *value, size_t value_len)
{
    if (UNLIKELY(http1_check_token(name, name_len, NULL) < 0)) {
        return HTTP1_W_NAME;
    }
    int rc = http1_check_value(value, value_len, NULL);
    if (UNLIKELY(rc < 0)) {
        return rc;
    }
    if (UNLIKELY(name_len > out->max || value_len > out->max)) {
        return BUF_FULL;
    }
    rc = buf_reserve(out, name_len + 2 + value_len + 2);
    if (LIKELY(rc == BUF_OK)) {
        buf_put(out, name, name_len);
        buf_put(out, ": ", 2);
        buf_put(out, value, value_len);
        buf_put(out, "\r\n", 2);
    }
    return rc;
}

int
http1_write_end(buf *out)
{
    return buf_append(out, "\r\n", 2);
}

size_t
http1_write_chunk_head(char out[HTTP1_CHUNK_HEAD_MAX], uint64_t n)
{
    size_t digits = 1, i;
    while (digits < 16 && n >> (4 * digits)) {
        digits++;
    }
    for (i = 0; i < digits; i++) {
        out[i] = "0123456789abcdef"[n >> (4 * (digits - 1 - i)) & 15];
    }
    out[i++] = '\r';
    out[i++] = '\n';
    return i;
}
