/* http1_write.h - request heads and chunk framing into a growing buffer. Plain C, no I/O.
 *
 * Nothing is appended that could end a line or begin another: what is refused leaves the buffer as
 * it was. Whoever sees an error drops the whole head. */
#ifndef UVOLT_PROTO_HTTP1_WRITE_H
#define UVOLT_PROTO_HTTP1_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* BUF_NOMEM and BUF_FULL are passed on. */
typedef enum http1_write_error {
    HTTP1_W_METHOD = -3, /* not a token */
    HTTP1_W_TARGET = -4, /* empty, or has a space or a control byte */
    HTTP1_W_NAME = -5,   /* not a token */
    HTTP1_W_VALUE = -6,  /* has a control byte other than HTAB */
} http1_write_error;

/* "GET /path HTTP/1.1" CRLF; minor 0 or 1. 0 or < 0. */
int http1_write_request(buf *out, const char *method, size_t method_len, const char *target,
                        size_t target_len, int minor);

/* "Name: value" CRLF. 0 or < 0. */
int http1_write_field(buf *out, const char *name, size_t name_len, const char *value,
                      size_t value_len);

/* The empty line. 0 or < 0. */
int http1_write_end(buf *out);

/* The checks alone: 0, or the error above. `bad`, if not NULL, is where it is. */
int http1_check_token(const char *s, size_t n, size_t *bad);
int http1_check_target(const char *s, size_t n, size_t *bad);
int http1_check_value(const char *s, size_t n, size_t *bad);

/* What stands before a chunk of n > 0 bytes: its length. Behind the chunk goes CRLF, and behind the
 * last one HTTP1_LAST_CHUNK. */
#define HTTP1_CHUNK_HEAD_MAX 18
#define HTTP1_LAST_CHUNK "0\r\n\r\n"
size_t http1_write_chunk_head(char out[HTTP1_CHUNK_HEAD_MAX], uint64_t n);

#endif
