/* codec.c - one content coding undone, by zlib, libbrotlidec and libzstd.
 *
 * gzip members and zstd frames may follow each other (RFC 1952 2.2, RFC 8878 3.1); so may deflate streams, as aiohttp
 * has it. A server that sends deflate without zlib's header (RFC 9110 8.4.1.2 tells of them) is recognised by the
 * first byte. What owns a codec opens it at its first input and closes it. Plain C, no globals, any thread. */
#include "http/codec.h"

#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>
#ifdef UVOLT_HAVE_BROTLI
#include <brotli/decode.h>
#endif
#ifdef UVOLT_HAVE_ZSTD
#include <zstd.h>
#include <zstd_errors.h>
#endif

/* ---- members ------------------------------------------------------------------------------- */

static void
member_end(codec *c)
{
    c->empty = c->member_out == 0 ? c->empty + 1 : 0;
    c->inside = 0;
    c->member_out = 0;
}

/* Too many that hold nothing: 20 bytes each that cost a reset of the decoder and lead nowhere. */
static int
member_refused(const codec *c)
{
    return c->empty > DECODE_MAX_EMPTY;
}

/* ---- gzip and deflate ---------------------------------------------------------------------- */

static int
zlib_open(codec *c)
{
    z_stream *z = calloc(1, sizeof(*z));
    if (z == NULL) {
        return -1;
    }
    /* The size of the window is set again, for deflate, when the first byte is there. */
    if (inflateInit2(z, 16 + MAX_WBITS) != Z_OK) {
        free(z);
        return -1;
    }
    c->state = z;
    return 0;
}

static void
zlib_close(codec *c)
{
    inflateEnd(c->state);
    free(c->state);
}

static uInt
zlib_clamp(size_t n)
{
    return n > INT_MAX ? INT_MAX : (uInt)n;
}

/* The first bytes of a member are there: make ready for it. */
static decode_status
zlib_begin(codec *c, int bits)
{
    if (member_refused(c) || inflateReset2(c->state, bits) != Z_OK) {
        return DECODE_ERROR;
    }
    c->inside = 1;
    return DECODE_MORE;
}

/* One call of inflate(), which takes and gives less than 2 GiB. */
static int
zlib_step(codec *c, const char **in, size_t *in_len, char **out, size_t *room)
{
    z_stream *z = c->state;
    uInt had = zlib_clamp(*in_len), space = zlib_clamp(*room);
    z->next_in = (Bytef *)(uintptr_t)*in;
    z->avail_in = had;
    z->next_out = (Bytef *)*out;
    z->avail_out = space;
    int rc = inflate(z, Z_NO_FLUSH);
    uInt used = had - z->avail_in, got = space - z->avail_out;
    *in += used;
    *in_len -= used;
    *out += got;
    *room -= got;
    c->member_out += got;
    if (rc == Z_BUF_ERROR && (used > 0 || got > 0)) {
        return Z_OK;
    }
    return rc;
}

static decode_status
zlib_run(codec *c, int bits, const char **in, size_t *in_len, char **out, size_t *room)
{
    for (;;) {
        if (!c->inside) {
            if (*in_len == 0) {
                return DECODE_MORE;
            }
            if (zlib_begin(c, bits) < 0) {
                return DECODE_ERROR;
            }
        }
        switch (zlib_step(c, in, in_len, out, room)) {
        case Z_STREAM_END:
            member_end(c);
            break;
        case Z_OK:
        case Z_BUF_ERROR:
            if (*room == 0) {
                return DECODE_ROOM;
            }
            if (*in_len == 0) {
                return DECODE_MORE;
            }
            break;
        case Z_MEM_ERROR:
            return DECODE_NO_MEMORY;
        default:
            return DECODE_ERROR;
        }
    }
}

static decode_status
gzip_run(codec *c, const char **in, size_t *in_len, char **out, size_t *room)
{
    return zlib_run(c, 16 + MAX_WBITS, in, in_len, out, room);
}

/* CM of RFC 1950 is 8 in every zlib header. */
static decode_status
deflate_run(codec *c, const char **in, size_t *in_len, char **out, size_t *room)
{
    if (!c->started && *in_len > 0) {
        c->raw = (**in & 0x0f) != 8;
        c->started = 1;
    }
    return zlib_run(c, c->raw ? -MAX_WBITS : MAX_WBITS, in, in_len, out, room);
}

/* ---- br ------------------------------------------------------------------------------------ */

#ifdef UVOLT_HAVE_BROTLI
static int
brotli_open(codec *c)
{
    c->state = BrotliDecoderCreateInstance(NULL, NULL, NULL);
    return c->state == NULL ? -1 : 0;
}

static void
brotli_close(codec *c)
{
    BrotliDecoderDestroyInstance(c->state);
}

static decode_status
brotli_failed(const codec *c)
{
    BrotliDecoderErrorCode code = BrotliDecoderGetErrorCode(c->state);
    int memory = code <= BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES
                 && code >= BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES;
    return memory ? DECODE_NO_MEMORY : DECODE_ERROR;
}

/* One stream, and nothing behind it: the format knows no members. */
static decode_status
brotli_run(codec *c, const char **in, size_t *in_len, char **out, size_t *room)
{
    if (BrotliDecoderIsFinished(c->state)) {
        return *in_len > 0 ? DECODE_ERROR : DECODE_MORE;
    }
    if (*in_len > 0) {
        c->inside = 1;
    }
    if (!c->inside) {
        return DECODE_MORE;
    }
    switch (BrotliDecoderDecompressStream(c->state, in_len, (const uint8_t **)(uintptr_t)in, room,
                                          (uint8_t **)(uintptr_t)out, NULL)) {
    case BROTLI_DECODER_RESULT_SUCCESS:
        c->inside = 0;
        return *in_len > 0 ? DECODE_ERROR : DECODE_MORE;
    case BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT:
        return DECODE_MORE;
    case BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT:
        return DECODE_ROOM;
    default:
        return brotli_failed(c);
    }
}
#endif

/* ---- zstd ---------------------------------------------------------------------------------- */

#ifdef UVOLT_HAVE_ZSTD
#define ZSTD_WINDOW_LOG 23 /* RFC 9659: 8 MiB, what a sender of this coding may ask for at most */

static int
zstd_open(codec *c)
{
    ZSTD_DCtx *ctx = ZSTD_createDCtx();
    if (ctx == NULL) {
        return -1;
    }
    ZSTD_DCtx_setParameter(ctx, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG);
    c->state = ctx;
    return 0;
}

static void
zstd_close(codec *c)
{
    ZSTD_freeDCtx(c->state);
}

/* One call: 0, or DECODE_ERROR or DECODE_NO_MEMORY. */
static decode_status
zstd_step(codec *c, const char **in, size_t *in_len, char **out, size_t *room)
{
    ZSTD_inBuffer src = {*in, *in_len, 0};
    ZSTD_outBuffer dst = {*out, *room, 0};
    size_t rc = ZSTD_decompressStream(c->state, &dst, &src);
    *in += src.pos;
    *in_len -= src.pos;
    *out += dst.pos;
    *room -= dst.pos;
    c->member_out += dst.pos;
    if (ZSTD_isError(rc)) {
        return ZSTD_getErrorCode(rc) == ZSTD_error_memory_allocation ? DECODE_NO_MEMORY : DECODE_ERROR;
    }
    if (rc == 0) {
        member_end(c);
    }
    return DECODE_MORE;
}

static decode_status
zstd_run(codec *c, const char **in, size_t *in_len, char **out, size_t *room)
{
    for (;;) {
        if (!c->inside) {
            if (*in_len == 0) {
                return DECODE_MORE;
            }
            if (member_refused(c)) {
                return DECODE_ERROR;
            }
            c->inside = 1;
        }
        decode_status status = zstd_step(c, in, in_len, out, room);
        if (status < 0) {
            return status;
        }
        if (*room == 0) {
            return DECODE_ROOM;
        }
        if (*in_len == 0) {
            return DECODE_MORE; /* with room left, it has given all it could */
        }
    }
}
#endif

/* ---- what was left out --------------------------------------------------------------------- */

/* A coding that this build has no library for. Nobody asked for it; who gets it all the same is told so, as with
 * aiohttp, and not given its bytes for a body. */
#if !defined(UVOLT_HAVE_BROTLI) || !defined(UVOLT_HAVE_ZSTD)
static int
lacking_open(codec *c)
{
    c->state = c;
    return 0;
}

static void
lacking_close(codec *c)
{
    c->state = NULL;
}

static decode_status
lacking_run(codec *c, const char **in, size_t *in_len, char **out, size_t *room)
{
    (void)c, (void)in, (void)in_len, (void)out, (void)room;
    return DECODE_ERROR;
}
#endif

/* ---- names --------------------------------------------------------------------------------- */

/* The codings of decode_codings[], and those that were left out, which have a name for the text of the error. */
static const codec_kind kinds[] = {
    {"gzip", zlib_open, gzip_run, zlib_close},
    {"deflate", zlib_open, deflate_run, zlib_close},
#ifdef UVOLT_HAVE_BROTLI
    {"br", brotli_open, brotli_run, brotli_close},
#else
    {"br (built without libbrotlidec)", lacking_open, lacking_run, lacking_close},
#endif
#ifdef UVOLT_HAVE_ZSTD
    {"zstd", zstd_open, zstd_run, zstd_close},
#else
    {"zstd (built without libzstd)", lacking_open, lacking_run, lacking_close},
#endif
};

const char *const decode_codings[] = {
    "gzip", "deflate",
#ifdef UVOLT_HAVE_BROTLI
    "br",
#endif
#ifdef UVOLT_HAVE_ZSTD
    "zstd",
#endif
    NULL,
};

const codec_kind *
codec_find(const char *name, size_t n)
{
    if (n == 6 && strncasecmp(name, "x-gzip", n) == 0) { /* RFC 9110 8.4.1.3 */
        return &kinds[0];
    }
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcspn(kinds[i].name, " ") == n && strncasecmp(name, kinds[i].name, n) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}
