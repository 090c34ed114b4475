/* http1_response.c - heads and bodies, one after the other: whole and in pieces the outcome is one.
 *
 * Input: flags, the seed of the cutting, limits, and then what the server says. */
#include "fuzz.h"

#include "proto/http1.h"

typedef struct run {
    http1_limits limits;
    http1_head head;
    http1_body body;
    int in_body, over, failed;
    unsigned request;
    uint64_t hash;
} run;

static void
check_head(run *r, const char *base, size_t len)
{
    const http1_head *h = &r->head;
    CHECK(h->head_len <= len && h->nfields <= r->limits.max_headers);
    CHECK(h->status >= 100 && h->status <= 999 && h->content_length >= -1);
    CHECK((size_t)h->reason + h->reason_len <= h->head_len && h->reason_len <= r->limits.max_line);
    CHECK((size_t)h->content_encoding.at + h->content_encoding.len <= h->head_len);
    CHECK(!(h->content_length >= 0 && h->chunked));
    for (uint32_t i = 0; i < h->nfields; i++) {
        const http1_field *f = &h->fields[i];
        CHECK(f->name_len > 0 && f->name + f->name_len < f->value + (f->value_len == 0));
        CHECK((size_t)f->value + f->value_len < h->head_len);
        CHECK(f->name_len + f->value_len <= r->limits.max_field + 1);
        CHECK(memchr(base + f->value, '\r', f->value_len) == NULL);
        CHECK(memchr(base + f->value, '\n', f->value_len) == NULL);
        CHECK(memchr(base + f->value, '\0', f->value_len) == NULL);
        r->hash = mix(r->hash, base + f->name, f->name_len);
        r->hash = mix(r->hash, base + f->value, f->value_len);
    }
    r->hash = mix_number(r->hash, h->status | (uint64_t)h->nfields << 32);
    r->hash = mix(r->hash, base + h->reason, h->reason_len);
    r->hash = mix_number(r->hash, (uint64_t)h->content_length);
    r->hash = mix_number(r->hash, h->chunked | h->keep_alive << 1 | h->upgrade << 2);
}

static void
failed(run *r, int code, const char *base, size_t len)
{
    char text[HTTP1_ERROR_ROOM];
    size_t n = r->in_body ? http1_body_error_text(&r->body, code, base, len, text, sizeof(text))
                          : http1_head_error_text(&r->head, code, &r->limits, base, len, text,
                                                  sizeof(text));
    CHECK(n < sizeof(text) && strlen(text) == n && n > 0);
    CHECK(http1_error_kind(code) != NULL);
    r->hash = mix_number(r->hash, (uint64_t)code);
    r->over = r->failed = 1;
}

static size_t
feed_body(run *r, const char *base, size_t len)
{
    size_t at = 0;
    for (;;) {
        size_t used = 0, n = 0;
        const char *data = NULL;
        int event = http1_body_next(&r->body, base + at, len - at, &used, &data, &n);
        CHECK(used <= len - at);
        if (event < 0) {
            failed(r, event, base + at, len - at);
            return at;
        }
        if (event == HTTP1_DATA) {
            CHECK(n > 0 && data >= base + at && data + n == base + at + used);
            r->hash = mix(r->hash, data, n);
        }
        else if (event == HTTP1_CHUNK_END) {
            r->hash = mix_number(r->hash, 1);
        }
        for (size_t i = 0; i < r->body.ntrailer; i++) {
            CHECK(r->body.trailer >= base + at && r->body.trailer + r->body.ntrailer == base + at + used);
            r->hash = mix_number(r->hash, (unsigned char)r->body.trailer[i]);
        }
        at += used;
        if (event == HTTP1_DONE) {
            r->in_body = 0;
            r->over = r->head.status == 101 || (r->head.status >= 200 && !r->head.keep_alive);
            http1_head_reset(&r->head);
            r->hash = mix_number(r->hash, 2);
            return at;
        }
        if (event == HTTP1_MORE) {
            CHECK(at == len);
            return at;
        }
    }
}

static size_t
feed_head(run *r, char *base, size_t len)
{
    int rc = http1_head_parse(&r->head, &r->limits, base, len);
    if (rc < 0) {
        failed(r, rc, base, len);
    }
    if (rc <= 0) {
        return 0;
    }
    check_head(r, base, len);
    http1_body_init(&r->body, &r->head, &r->limits, r->request);
    r->in_body = 1;
    return (size_t)rc;
}

/* Feeds pieces: each call sees what was not used before, at another address. */
static uint64_t
outcome(const uint8_t *flags, const char *s, size_t size, unsigned step)
{
    run r = {.limits = {.lenient = flags[0] & 1}, .request = flags[0] >> 1 & 3, .hash = 1};
    r.limits.max_line = flags[0] & 8 ? 8190 : 16u + flags[2] % 64;
    r.limits.max_field = flags[0] & 16 ? 8190 : 16u + flags[2] / 2;
    r.limits.max_headers = flags[0] & 32 ? 128 : 1u + flags[2] % 5;
    http1_head_init(&r.head);
    char *kept = exactly("", 0);
    size_t nkept = 0, at = 0;
    unsigned random = flags[1];
    while (at < size && !r.over) {
        random = random * 1103515245 + 12345;
        size_t n = step == 0 ? size : step == 1 ? 1 : 1 + (random >> 16) % step;
        n = n < size - at ? n : size - at;
        char *base = malloc(nkept + n);
        CHECK(base != NULL);
        memcpy(base, kept, nkept);
        memcpy(base + nkept, s + at, n);
        at += n;
        size_t len = nkept + n, used = 0;
        for (int was = -1; !r.over && was != r.in_body;) {
            was = r.in_body;
            used += was ? feed_body(&r, base + used, len - used)
                        : feed_head(&r, base + used, len - used);
        }
        free(kept);
        nkept = len - used;
        kept = exactly(base + used, nkept);
        free(base);
    }
    if (!r.failed) {
        r.hash = mix_number(r.hash, r.in_body ? (uint64_t)http1_body_eof(&r.body) : 3);
    }
    free(kept);
    http1_head_free(&r.head);
    return r.hash;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3) {
        return 0;
    }
    char *s = exactly(data + 3, size - 3);
    uint64_t whole = outcome(data, s, size - 3, 0);
    CHECK(outcome(data, s, size - 3, 1) == whole);
    CHECK(outcome(data, s, size - 3, 40) == whole);
    free(s);
    return 0;
}
