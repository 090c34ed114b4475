/* codec.h - one content coding undone: what decode.c makes its chains of. Plain C. */
#ifndef UVOLT_HTTP_CODEC_H
#define UVOLT_HTTP_CODEC_H

#include "http/decode.h"

typedef struct codec codec;

typedef struct codec_kind {
    const char *name;
    int (*open)(codec *c); /* 0, or -1: out of memory */
    /* decoder_run()'s contract for one coding; *out and *room are moved on. Whatever it returns, calling it again is
     * allowed until it is DECODE_ERROR. */
    decode_status (*run)(codec *c, const char **in, size_t *in_len, char **out, size_t *room);
    void (*close)(codec *c);
} codec_kind;

struct codec {
    const codec_kind *kind;
    void *state;         /* owned: z_stream, BrotliDecoderState or ZSTD_DCtx; NULL until its first input */
    char inside;         /* a member (frame) has begun and not ended */
    char started;        /* deflate: its first byte was seen, */
    char raw;            /* and is not that of zlib's header */
    size_t member_out;   /* bytes that this member gave so far, */
    unsigned empty;      /* and how many in a row gave none */
};

/* A coding by its name in any case; NULL for a name we do not know. What was left out of this build is there, and
 * fails with its first byte. */
const codec_kind *codec_find(const char *name, size_t n);

#endif
