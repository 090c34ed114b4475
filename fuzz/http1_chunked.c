/* http1_chunked.c - the chunked coding taken off: in pieces as whole, and what was put on comes back.
 *
 * Input: flags, the sizes of pieces, and then a body as the server sends it; and the same bytes as
 * data that we put in chunks and take out again. */
#include "fuzz.h"

#include "proto/http1.h"
#include "proto/http1_write.h"

static const http1_head chunked = {.status = 200, .content_length = -1, .chunked = 1};

/* What comes out, as a hash; the data itself into `out` if it is not NULL. */
static uint64_t
outcome(const http1_limits *l, const char *s, size_t size, unsigned seed, unsigned step, buf *out,
        int *end)
{
    http1_body b;
    uint64_t hash = 1;
    size_t at = 0;
    int event = HTTP1_MORE;
    http1_body_init(&b, &chunked, l, 0);
    while (at < size && event == HTTP1_MORE) {
        seed = seed * 1103515245 + 12345;
        size_t n = step == 0 ? size : 1 + (seed >> 16) % step, used = 0, done = 0;
        n = n < size - at ? n : size - at;
        char *piece = exactly(s + at, n);
        do {
            const char *data = NULL;
            size_t m = 0;
            event = http1_body_next(&b, piece + done, n - done, &used, &data, &m);
            CHECK(used <= n - done);
            if (event == HTTP1_DATA) {
                CHECK(m > 0 && data >= piece && data + m <= piece + n);
                hash = mix(hash, data, m);
                CHECK(out == NULL || buf_append(out, data, m) == BUF_OK);
            }
            hash = event == HTTP1_CHUNK_END ? mix_number(hash, 1) : hash;
            done += event < 0 ? 0 : used;
        } while (event == HTTP1_DATA || event == HTTP1_CHUNK_END);
        at += done;
        free(piece);
    }
    *end = event;
    CHECK(event != HTTP1_MORE || at == size);
    CHECK(event <= 0 || http1_body_eof(&b) == 1);
    return mix_number(mix_number(hash, (uint64_t)event), event == HTTP1_DONE ? at : 0);
}

/* Puts the bytes in chunks of the sizes that `seed` says and takes them out. */
static void
there_and_back(const http1_limits *l, const char *s, size_t size, unsigned seed)
{
    buf coded, out;
    char head[HTTP1_CHUNK_HEAD_MAX];
    int end;
    buf_init(&coded, 1 << 24);
    buf_init(&out, 1 << 24);
    for (size_t at = 0, n; at < size; at += n) {
        seed = seed * 1103515245 + 12345;
        n = 1 + (seed >> 16) % 300;
        n = n < size - at ? n : size - at;
        CHECK(buf_append(&coded, head, http1_write_chunk_head(head, n)) == BUF_OK);
        CHECK(buf_append(&coded, s + at, n) == BUF_OK);
        CHECK(buf_append(&coded, "\r\n", 2) == BUF_OK);
    }
    CHECK(buf_append(&coded, HTTP1_LAST_CHUNK, sizeof(HTTP1_LAST_CHUNK) - 1) == BUF_OK);
    (void)outcome(l, coded.data, coded.len, seed, 50, &out, &end);
    CHECK(end == HTTP1_DONE && out.len == size && (size == 0 || memcmp(out.data, s, size) == 0));
    buf_free(&coded);
    buf_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    http1_limits l = {64, 48, 4, data[0] & 1, 0};
    const char *s = (const char *)data + 2;
    int end;
    uint64_t whole = outcome(&l, s, size - 2, 0, 0, NULL, &end);
    CHECK(outcome(&l, s, size - 2, 0, 1, NULL, &end) == whole);
    CHECK(outcome(&l, s, size - 2, data[1], 20, NULL, &end) == whole);
    if (end == HTTP1_DONE && !l.lenient) { /* what is strict is lenient too, and the same */
        l.lenient = 1;
        CHECK(outcome(&l, s, size - 2, 0, 0, NULL, &end) == whole);
    }
    there_and_back(&l, s, size - 2, data[1]);
    return 0;
}
