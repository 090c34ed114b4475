/* decode.c - a chain of content codings undone: names to codecs, bytes through all of them.
 *
 * It pulls: the last codec fills the caller's room, and when it wants input, the one before it is run into a link of
 * LINK_SIZE bytes. So no part of the chain gets ahead of what the caller takes.
 * Owns: its codecs and links. Kept by: whoever made it. Plain C, any thread, one at a time. */
#include "http/decode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http/codec.h"

#define LINK_SIZE 16384

/* What one codec gave and the next one has not taken yet. */
typedef struct decode_link {
    const char *pos; /* into `bytes` */
    size_t len;
    char bytes[LINK_SIZE];
} decode_link;

struct decoder {
    codec codecs[DECODE_MAX_CODINGS];             /* in the order of the header: the last was applied last */
    decode_link *links[DECODE_MAX_CODINGS - 1];   /* owned: links[i] is from codecs[i + 1] to codecs[i] */
    int count;
    char passes;      /* an unknown coding was named */
    char failed;
    char error[80];
};

/* ---- names --------------------------------------------------------------------------------- */

static decode_status
fail(decoder *d, const char *what)
{
    d->failed = 1;
    snprintf(d->error, sizeof(d->error), "Can not decode content-encoding: %s", what);
    return DECODE_ERROR;
}

static decode_status
add_coding(decoder *d, const char *name, size_t n)
{
    if (n == 0 || (n == 8 && strncasecmp(name, "identity", n) == 0)) {
        return DECODE_MORE;
    }
    const codec_kind *kind = codec_find(name, n);
    if (kind == NULL) {
        d->passes = 1;
        return DECODE_MORE;
    }
    if (d->count == DECODE_MAX_CODINGS) {
        return fail(d, "more than 5 codings");
    }
    d->codecs[d->count++].kind = kind;
    return DECODE_MORE;
}

static int
is_space(char c)
{
    return c == ' ' || c == '\t';
}

decode_status
decoder_add(decoder **d, const char *value, size_t n)
{
    if (*d == NULL && (*d = calloc(1, sizeof(**d))) == NULL) {
        return DECODE_NO_MEMORY;
    }
    const char *end = value + n;
    while (value < end && !(*d)->failed) {
        const char *comma = memchr(value, ',', (size_t)(end - value));
        const char *next = comma == NULL ? end : comma + 1, *last = comma == NULL ? end : comma;
        while (value < last && is_space(*value)) {
            value++;
        }
        while (last > value && is_space(last[-1])) {
            last--;
        }
        add_coding(*d, value, (size_t)(last - value));
        value = next;
    }
    return (*d)->failed ? DECODE_ERROR : DECODE_MORE;
}

decoder *
decoder_ready(decoder *d)
{
    if (d == NULL || (!d->failed && !d->passes && d->count > 0)) {
        return d;
    }
    decoder_free(d);
    return NULL;
}

void
decoder_free(decoder *d)
{
    if (d == NULL) {
        return;
    }
    for (int i = 0; i < d->count; i++) {
        if (d->codecs[i].state != NULL) {
            d->codecs[i].kind->close(&d->codecs[i]);
        }
        if (i > 0) {
            free(d->links[i - 1]);
        }
    }
    free(d);
}

const char *
decoder_error(const decoder *d)
{
    return d->error;
}

/* ---- bytes --------------------------------------------------------------------------------- */

static decode_status
run_codec(decoder *d, int i, const char **in, size_t *in_len, char **out, size_t *room)
{
    codec *c = &d->codecs[i];
    if (c->state == NULL) {
        if (*in_len == 0) {
            return DECODE_MORE;
        }
        if (c->kind->open(c) < 0) {
            return DECODE_NO_MEMORY;
        }
    }
    decode_status status = c->kind->run(c, in, in_len, out, room);
    return status == DECODE_ERROR ? fail(d, c->kind->name) : status;
}

/* From codec i + 1 to codec i. NULL: out of memory. */
static decode_link *
get_link(decoder *d, int i)
{
    decode_link *link = d->links[i];
    if (link == NULL && (link = malloc(sizeof(*link))) != NULL) {
        link->pos = link->bytes;
        link->len = 0;
        d->links[i] = link;
    }
    return link;
}

/* Codec i with all that come before it on the way from the wire. */
static decode_status
run_chain(decoder *d, int i, const char **in, size_t *in_len, char **out, size_t *room)
{
    if (i == d->count - 1) {
        return run_codec(d, i, in, in_len, out, room);
    }
    decode_link *link = get_link(d, i);
    if (link == NULL) {
        return DECODE_NO_MEMORY;
    }
    for (;;) {
        decode_status status = run_codec(d, i, &link->pos, &link->len, out, room);
        if (status != DECODE_MORE) {
            return status;
        }
        char *end = link->bytes;
        size_t space = LINK_SIZE;
        status = run_chain(d, i + 1, in, in_len, &end, &space);
        link->pos = link->bytes;
        link->len = LINK_SIZE - space;
        if (status < 0 || link->len == 0) {
            return status;
        }
    }
}

decode_status
decoder_run(decoder *d, const char **in, size_t *in_len, char *out, size_t room, size_t *got)
{
    *got = 0;
    if (d->failed) {
        return DECODE_ERROR;
    }
    size_t left = room;
    decode_status status = run_chain(d, 0, in, in_len, &out, &left);
    *got = room - left;
    return status;
}

decode_status
decoder_finish(decoder *d)
{
    if (d->failed) {
        return DECODE_ERROR;
    }
    for (int i = 0; i < d->count; i++) {
        if (d->codecs[i].inside) {
            return fail(d, d->codecs[i].kind->name);
        }
    }
    return DECODE_MORE;
}
