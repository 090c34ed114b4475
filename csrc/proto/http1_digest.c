/* http1_digest.c - what the fields of a whole head mean for the connection and the body.
 *
 * RFC 9112 sections 6.1 to 6.3 and 9.3. Whatever two readers could take in two ways is refused: two
 * lengths, a length and a transfer coding, chunked twice. */
#include "proto/http1_digest.h"

#include "base/compiler.h"
#include "proto/chars.h"

/* What has been seen on the way through the fields. */
typedef struct digest {
    unsigned close, keep_alive, upgrade; /* in Connection */
    unsigned has_upgrade;                /* the field Upgrade */
    unsigned te;                         /* fields Transfer-Encoding */
    size_t at;                           /* of the error */
} digest;

#define NAME_IS(literal) char_equal(base + f->name, literal, sizeof(literal) - 1)

static const char *
content_length(http1_head *h, digest *d, const char *base, const http1_field *f)
{
    const char *p = base + f->value, *end = p + f->value_len;
    uint64_t n = 0;
    d->at = f->name + f->name_len + 1;
    if (d->te != 0) {
        return "Content-Length can't be present with Transfer-Encoding";
    }
    d->at = f->value;
    if (h->content_length >= 0) {
        return "Duplicate Content-Length";
    }
    if (p == end) {
        return "Empty Content-Length";
    }
    for (; p < end; p++) {
        unsigned digit = (unsigned)(*p - '0');
        d->at = (size_t)(p - base);
        if (UNLIKELY(digit > 9)) {
            return "Invalid character in Content-Length";
        }
        if (UNLIKELY(n >= INT64_MAX / 10) && n > ((uint64_t)INT64_MAX - digit) / 10) {
            return "Content-Length overflow";
        }
        n = 10 * n + digit;
    }
    h->content_length = (int64_t)n;
    return NULL;
}

/* The next element of a comma-separated list, trimmed; empty ones are passed over. 0 at the end. */
static int
list_next(const char **p, const char *end, const char **item, size_t *n)
{
    for (;;) {
        while (*p < end && (char_is_space(**p) || **p == ',')) {
            ++*p;
        }
        const char *start = *p, *stop;
        while (*p < end && **p != ',') {
            ++*p;
        }
        for (stop = *p; stop > start && char_is_space(stop[-1]); stop--) {
        }
        if (stop > start) {
            *item = start;
            *n = (size_t)(stop - start);
            return 1;
        }
        if (*p == end) {
            return 0;
        }
    }
}

static const char *
transfer_encoding(http1_head *h, digest *d, const char *base, const http1_field *f)
{
    const char *p = base + f->value, *end = p + f->value_len, *item;
    size_t n, codings = 0;
    d->at = f->name + f->name_len + 1;
    if (h->content_length >= 0) {
        return "Transfer-Encoding can't be present with Content-Length";
    }
    for (; list_next(&p, end, &item, &n); codings++) {
        size_t clean = 0;
        while (clean < n && char_is(item[clean], CHAR_VALUE)) {
            clean++;
        }
        if (clean < n) { /* lenient or not: not here */
            d->at = (size_t)(item - base) + clean;
            return "Invalid `Transfer-Encoding` header value";
        }
        if (n == 7 && char_equal(item, "chunked", 7)) {
            if (h->chunked) {
                d->at = (size_t)(item - base);
                return "Invalid `Transfer-Encoding` header value";
            }
            h->chunked = 1;
        }
        else {
            if (h->chunked) { /* chunked and then something: not for us to undo */
                d->te |= 2;
            }
            h->te_other = 1;
        }
    }
    d->te |= 1;
    return codings != 0 ? NULL : "Empty Transfer-Encoding";
}

static void
connection(digest *d, const char *base, const http1_field *f)
{
    const char *p = base + f->value, *end = p + f->value_len, *item;
    size_t n;
    if (f->value_len == 10 && char_equal(p, "keep-alive", 10)) {
        d->keep_alive = 1;
        return;
    }
    while (list_next(&p, end, &item, &n)) {
        d->close |= n == 5 && char_equal(item, "close", 5);
        d->upgrade |= n == 7 && char_equal(item, "upgrade", 7);
        d->keep_alive |= n == 10 && char_equal(item, "keep-alive", 10);
    }
}

/* A bit for each length that take_field() knows names of. */
#define LENGTHS (1u << 3 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 12 | 1 << 14 | 1 << 16 | 1 << 17)

static const char *
take_field(http1_head *h, digest *d, const char *base, const http1_field *f)
{
    switch (f->name_len) {
    case 3:
        h->has_location |= NAME_IS("uri");
        break;
    case 7:
        d->has_upgrade |= (unsigned)NAME_IS("upgrade");
        break;
    case 8:
        h->has_location |= NAME_IS("location");
        break;
    case 10:
        h->has_set_cookie |= NAME_IS("set-cookie");
        if (NAME_IS("connection")) {
            connection(d, base, f);
        }
        break;
    case 12:
        if (h->content_type.len == 0 && NAME_IS("content-type")) {
            h->content_type = (http1_span){f->value, f->value_len};
        }
        break;
    case 14:
        if (NAME_IS("content-length")) {
            return content_length(h, d, base, f);
        }
        break;
    case 16:
        if (NAME_IS("content-encoding")) {
            h->content_encoding = (http1_span){f->value, f->value_len};
            h->ncontent_encoding++;
        }
        break;
    case 17:
        if (NAME_IS("transfer-encoding")) {
            return transfer_encoding(h, d, base, f);
        }
        break;
    }
    return NULL;
}

/* Strict only: fields that may come once. (aiohttp counts Transfer-Encoding among them, a list.) */
static const char *
duplicate(const http1_head *h, const char *base, size_t *at)
{
#define SINGLETON(text, name) {text, "Duplicate '" name "' header found."}
    static const struct {
        const char *name, *error;
    } table[] = {
        SINGLETON("content-location", "Content-Location"),
        SINGLETON("content-range", "Content-Range"),
        SINGLETON("content-type", "Content-Type"),
        SINGLETON("etag", "Etag"),
        SINGLETON("host", "Host"),
        SINGLETON("max-forwards", "Max-Forwards"),
        SINGLETON("server", "Server"),
        SINGLETON("user-agent", "User-Agent"),
    };
#undef SINGLETON
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        size_t n = strlen(table[i].name);
        const http1_field *f = http1_head_find(h, base, table[i].name, n, 0);
        if (f != NULL) {
            f = http1_head_find(h, base, table[i].name, n, (uint32_t)(f - h->fields) + 1);
        }
        if (f != NULL) {
            *at = f->name;
            return table[i].error;
        }
    }
    return NULL;
}

const char *
http1_digest(http1_head *h, const http1_limits *l, const char *base, size_t *at)
{
    digest d = {0};
    for (const http1_field *f = h->fields, *end = f + h->nfields; f < end; f++) {
        if (f->name_len > 17 || !(LENGTHS >> f->name_len & 1)) {
            continue;
        }
        const char *fault = take_field(h, &d, base, f);
        if (UNLIKELY(fault != NULL)) {
            *at = d.at;
            return fault;
        }
    }
    if (d.te & 2) {
        h->chunked = 0; /* it is not the last coding: the body goes on until the end */
    }
    /* HTTP/1.0 knows no transfer codings: such framing is not to be trusted (RFC 9112, 6.1). */
    int new = h->version_major > 0 && h->version_minor > 0;
    h->keep_alive = !d.close && (new || (d.keep_alive && d.te == 0));
    h->upgrade = d.has_upgrade && d.upgrade;
    return l->lenient ? NULL : duplicate(h, base, at);
}
