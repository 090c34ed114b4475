/* decode.c - libFuzzer target: content decoding. Whatever comes, in whatever pieces, for whatever rooms: no byte is
 * read or written out of bounds, all input is used, and how it was cut makes no difference to the outcome.
 *
 * fuzz-build: -DUVOLT_HAVE_BROTLI -DUVOLT_HAVE_ZSTD csrc/http/decode.c csrc/http/codec.c -lz -lbrotlidec -lzstd */
#include "http/decode.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define OUTPUT_MAX (1 << 20) /* bytes; bombs end there */

typedef struct result {
    uint64_t sum;   /* of the output */
    size_t len;
    int status;     /* 0, DECODE_ERROR, or 2: too long to go on */
} result;

static void
count(result *r, const char *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        r->sum = r->sum * 1099511628211u + (uint8_t)out[i];
    }
    r->len += n;
}

/* One piece, in memory of its own size. */
static void
run_piece(decoder *d, result *r, const uint8_t *data, size_t n, size_t room)
{
    char *piece = malloc(n), *out = malloc(room);
    if (n > 0) {
        memcpy(piece, data, n);
    }
    const char *in = piece;
    size_t left = n, got;
    int status = DECODE_ROOM;
    while (status == DECODE_ROOM && r->len < OUTPUT_MAX) {
        status = decoder_run(d, &in, &left, out, room, &got);
        assert(got <= room && left <= n && in == piece + (n - left));
        assert(status != DECODE_ROOM || got == room);
        count(r, out, got);
    }
    if (r->len >= OUTPUT_MAX) {
        r->status = 2;
    }
    else if (status != DECODE_MORE) {
        assert(status == DECODE_ERROR && decoder_error(d)[0] != 0);
        r->status = DECODE_ERROR;
    }
    else {
        assert(left == 0);
    }
    free(out);
    free(piece);
}

static result
run(const char *codings, const uint8_t *data, size_t n, size_t step, size_t room)
{
    result r = {0, 0, 0};
    decoder *d = NULL;
    decode_status added = decoder_add(&d, codings, strlen(codings));
    assert(added == DECODE_MORE);
    d = decoder_ready(d);
    for (size_t i = 0; i < n && r.status == 0; i += step) {
        run_piece(d, &r, data + i, n - i < step ? n - i : step, room);
    }
    if (r.status == 0) {
        r.status = decoder_finish(d);
    }
    decoder_free(d);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* First byte: the coding, or two. Second: the size of pieces and rooms of the second run. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const chains[] = {
        "gzip", "deflate", "br", "zstd", "gzip, gzip", "br, gzip", "deflate, deflate", "zstd, deflate, gzip",
    };
    if (n < 2) {
        return 0;
    }
    const char *codings = chains[data[0] % (sizeof(chains) / sizeof(chains[0]))];
    size_t step = 1 + (data[1] & 15), room = 1 + (data[1] >> 4) * 37;
    result whole = run(codings, data + 2, n - 2, n, 65536);
    result cut = run(codings, data + 2, n - 2, step, room);
    if (whole.status != 2 && cut.status != 2) {
        /* libzstd 1.5.4 compares what a frame says of its length with what it holds only if it has it all at once. */
        assert(whole.status == cut.status || strstr(codings, "zstd") != NULL);
        assert(whole.status != 0 || cut.status != 0 || (whole.len == cut.len && whole.sum == cut.sum));
    }
    return 0;
}
