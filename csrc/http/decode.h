/* decode.h - content codings undone (RFC 9110 8.4): gzip, deflate, br, zstd, alone or in a chain.
 *
 * A stream: the caller gives what input it has and room for output, so that memory is bounded whatever the input
 * grows to (windows: zlib 32 KiB, br 16 MiB, zstd 8 MiB as of RFC 9659, and 16 KiB between two of a chain).
 * Plain C, no Python, no globals: a decoder belongs to whoever made it; any thread, one at a time. */
#ifndef UVOLT_HTTP_DECODE_H
#define UVOLT_HTTP_DECODE_H

#include <stddef.h>

#define DECODE_MAX_CODINGS 5        /* in a chain */
#define DECODE_MAX_EMPTY 1024       /* empty gzip members or zstd frames in a row */

typedef struct decoder decoder;

typedef enum {
    DECODE_MORE = 0,       /* all input is used and all output given: more input is wanted */
    DECODE_ROOM = 1,       /* the room is full; there may be more output, which needs no input */
    DECODE_ERROR = -1,     /* the input is not what its coding says; sticky */
    DECODE_NO_MEMORY = -2,
} decode_status;

/* The codings that were built in, NULL at the end; the names to ask a server for. */
extern const char *const decode_codings[];

/* One line of Content-Encoding (a list of names in any case); *d is NULL before the first line. If any line names a
 * coding we do not know, the body passes as it is. 0, DECODE_ERROR (too many; decoder_error() says so), or
 * DECODE_NO_MEMORY; *d is the caller's in each case, maybe NULL. */
decode_status decoder_add(decoder **d, const char *value, size_t n);

/* After the last line: `d`, or NULL (and d is freed) if the body passes as it is. */
decoder *decoder_ready(decoder *d);

/* Uses up *in_len bytes at *in (both are moved on), writes at most `room` bytes to `out`, *got is how many.
 * Call it with no input again while it returns DECODE_ROOM. */
decode_status decoder_run(decoder *d, const char **in, size_t *in_len, char *out, size_t room, size_t *got);

/* The input has ended, all of it was used: 0, or DECODE_ERROR where it was cut short. No input at all is well. */
decode_status decoder_finish(decoder *d);

/* What DECODE_ERROR means, as aiohttp words it: "Can not decode content-encoding: gzip". Lives as long as d. */
const char *decoder_error(const decoder *d);

void decoder_free(decoder *d); /* d may be NULL */

#endif
