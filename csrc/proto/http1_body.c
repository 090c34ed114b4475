/* http1_body.c - where the body of a response ends, and the chunked coding taken off.
 *
 * A machine of a state per byte for what stands between the data, so that it can stop anywhere;
 * nothing of the input is kept. Extensions are checked and dropped, trailers checked and shown. A line of the chunked
 * coding ends in CRLF, never in a bare LF, however lenient: who reads one otherwise than who sent it
 * reads another message. */
#include "proto/http1.h"

#include "base/compiler.h"
#include "proto/chars.h"

enum {
    SIZE_FIRST, /* a digit must come */
    SIZE,
    SIZE_SPACE, /* behind the digits (lenient) */
    EXT_FIRST,  /* behind ";" */
    EXT_NAME,
    EXT_VALUE,
    EXT_QUOTED,
    EXT_ESCAPED,
    EXT_QUOTED_END,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER_FIRST, /* a trailer, or the empty line */
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    END_LF,
    WHOLE,
    FAILED,
};

/* More bytes in chunk lines than this, beyond what their chunks make up for, are an attack. */
#define EXCESS_MAX (16 * 1024)

void
http1_body_init(http1_body *b, const http1_head *h, const http1_limits *l, unsigned request)
{
    *b = (http1_body){.kind = HTTP1_BODY_EOF, .state = DATA, .limits = *l};
    if ((request & HTTP1_TO_HEAD) || h->status < 200 || h->status == 204 || h->status == 304 ||
        ((request & HTTP1_TO_CONNECT) && h->status < 300)) {
        b->kind = HTTP1_BODY_NONE;
        b->state = WHOLE;
    }
    else if (h->chunked) {
        b->kind = HTTP1_BODY_CHUNKED;
        b->state = SIZE_FIRST;
    }
    else if (l->no_eof && h->content_length < 0) {
        b->state = WHOLE;
    }
    else if (h->content_length >= 0) {
        b->kind = HTTP1_BODY_LENGTH;
        b->left = b->total = (uint64_t)h->content_length;
        b->state = b->left != 0 ? DATA : WHOLE;
    }
}

static COLD int
fail(http1_body *b, http1_error code, const char *error)
{
    b->state = FAILED;
    b->code = (int8_t)code;
    b->error = error;
    b->error_at = 0;
    return code;
}

/* ---- the chunk's line ---- */

/* The line is over: data follows, or the trailers. */
static int
line_end(http1_body *b)
{
    /* What a chunk may spend on its line, as Go has it: 16 bytes and two for each byte of data. */
    uint64_t excess = (uint64_t)b->excess + b->line_len;
    uint64_t allowed = b->left < EXCESS_MAX ? 16 + 2 * b->left : EXCESS_MAX;
    excess = excess > allowed ? excess - allowed : 0;
    if (UNLIKELY(excess > EXCESS_MAX)) {
        return fail(b, HTTP1_E_CHUNK, "Chunked coding has too much overhead");
    }
    b->excess = (uint32_t)excess;
    b->line_len = 0;
    b->state = b->left != 0 ? DATA : TRAILER_FIRST;
    return 0;
}

static int
size_digit(http1_body *b, char c)
{
    if (UNLIKELY(b->left >> 60)) {
        return fail(b, HTTP1_E_CHUNK, "Chunk size overflow");
    }
    b->left = b->left << 4 | char_hex(c);
    b->state = SIZE;
    return 0;
}

/* Behind the digits. */
static int
size_other(http1_body *b, char c)
{
    switch (c) {
    case '\r':
        b->state = SIZE_LF;
        return 0;
    case '\n':
        return fail(b, HTTP1_E_CHUNK, "Missing expected CR after chunk size");
    case ';':
        b->state = EXT_FIRST;
        return 0;
    case ' ':
    case '\t':
        if (b->limits.lenient) {
            b->state = SIZE_SPACE;
            return 0;
        }
    }
    return fail(b, HTTP1_E_CHUNK, "Invalid character in chunk size");
}

/* Behind an extension, or its name or value. */
static int
ext_other(http1_body *b, char c, const char *error, const char *no_cr)
{
    switch (c) {
    case ';':
        b->state = EXT_FIRST;
        return 0;
    case '\r':
        b->state = SIZE_LF;
        return 0;
    case '\n':
        return fail(b, HTTP1_E_CHUNK, no_cr);
    }
    return fail(b, HTTP1_E_CHUNK, error);
}

/* Within the quotes of an extension's value. */
static int
quoted_byte(http1_body *b, char c)
{
    if (b->state == EXT_ESCAPED) {
        b->state = EXT_QUOTED;
        return char_is(c, CHAR_VALUE)
                   ? 0
                   : fail(b, HTTP1_E_CHUNK,
                          "Invalid quoted-pair in chunk extensions quoted value");
    }
    if (char_is(c, CHAR_QUOTED)) {
        return 0;
    }
    if (c != '"' && c != '\\') {
        return fail(b, HTTP1_E_CHUNK, "Invalid character in chunk extensions quoted value");
    }
    b->state = c == '"' ? EXT_QUOTED_END : EXT_ESCAPED;
    return 0;
}

static int
ext_byte(http1_body *b, char c)
{
    switch (b->state) {
    case EXT_FIRST:
        if (c == ' ' || c == '\r') {
            return fail(b, HTTP1_E_CHUNK, "Invalid character in chunk extensions");
        }
        b->state = EXT_NAME;
        /* fall through */
    case EXT_NAME:
        if (char_is(c, CHAR_TOKEN)) {
            return 0;
        }
        if (c == '=') {
            b->state = EXT_VALUE;
            return 0;
        }
        return ext_other(b, c, "Invalid character in chunk extensions name",
                         "Missing expected CR after chunk extension name");
    case EXT_VALUE:
        if (char_is(c, CHAR_TOKEN)) {
            return 0;
        }
        if (c == '"') {
            b->state = EXT_QUOTED;
            return 0;
        }
        return ext_other(b, c, "Invalid character in chunk extensions value",
                         "Missing expected CR after chunk extension value");
    case EXT_QUOTED:
    case EXT_ESCAPED:
        return quoted_byte(b, c);
    default:
        return ext_other(b, c, "Invalid character in chunk extensions quote value",
                         "Missing expected CR after chunk extension value");
    }
}

static int
line_byte(http1_body *b, char c)
{
    if (UNLIKELY(++b->line_len > b->limits.max_line) && c != '\r' && c != '\n') {
        return fail(b, HTTP1_E_TOO_LONG, "Chunk size line too long");
    }
    switch (b->state) {
    case SIZE_FIRST:
        b->left = 0;
        return char_is(c, CHAR_HEX)
                   ? size_digit(b, c)
                   : fail(b, HTTP1_E_CHUNK, "Invalid character in chunk size");
    case SIZE:
        return char_is(c, CHAR_HEX) ? size_digit(b, c) : size_other(b, c);
    case SIZE_SPACE:
        return size_other(b, c);
    case SIZE_LF:
        return c == '\n' ? line_end(b) : fail(b, HTTP1_E_CHUNK, "Expected LF after chunk size");
    default:
        return ext_byte(b, c);
    }
}

/* Behind the data of a chunk. */
static int
data_end_byte(http1_body *b, char c)
{
    if (b->state == DATA_LF && c == '\n') {
        b->state = SIZE_FIRST;
        return HTTP1_CHUNK_END;
    }
    if (b->state == DATA_CR && c == '\r') {
        b->state = DATA_LF;
        return 0;
    }
    return fail(b, HTTP1_E_CHUNK, "Expected LF after chunk data");
}

/* ---- trailers ---- */

static int
trailer_first(http1_body *b, char c)
{
    if (c == '\r') {
        b->state = END_LF;
        return 0;
    }
    if (c == '\n') {
        if (!b->limits.lenient) {
            return fail(b, HTTP1_E_HEADER, "Invalid header field char");
        }
        b->state = WHOLE;
        return 0;
    }
    if (char_is_space(c)) { /* the last one goes on, and its length is counted on */
        if (b->trailers == 0 || !b->limits.lenient) {
            return fail(b, HTTP1_E_HEADER, "Unexpected whitespace after header value");
        }
        b->state = TRAILER_VALUE;
        return 0;
    }
    if (!char_is(c, CHAR_TOKEN)) {
        return fail(b, HTTP1_E_HEADER, "Invalid header token");
    }
    if (b->trailers >= b->limits.max_headers || b->trailers == UINT16_MAX) {
        return fail(b, HTTP1_E_TOO_MANY, "Too many headers received");
    }
    b->trailers++;
    b->line_len = 1;
    b->state = TRAILER_NAME;
    return 0;
}

static int
trailer_value(http1_body *b, char c)
{
    if (LIKELY(char_is(c, CHAR_VALUE))) {
        return 0;
    }
    if (c == '\r') {
        b->state = TRAILER_LF;
        return 0;
    }
    if (c == '\0') {
        return fail(b, HTTP1_E_VALUE, "Invalid HTTP header");
    }
    if (c == '\n') {
        b->state = TRAILER_FIRST;
    }
    return b->limits.lenient ? 0
           : c == '\n' ? fail(b, HTTP1_E_HEADER, "Missing expected CR after header value")
                       : fail(b, HTTP1_E_HEADER, "Invalid header value char");
}

static int
trailer_byte(http1_body *b, char c)
{
    /* Its name, a colon, a space and its value. */
    if (UNLIKELY(++b->line_len > b->limits.max_field + 2) && c != '\r' && c != '\n') {
        return fail(b, HTTP1_E_TOO_LONG, "Trailer too long");
    }
    switch (b->state) {
    case TRAILER_FIRST:
        return trailer_first(b, c);
    case TRAILER_NAME:
        if (char_is(c, CHAR_TOKEN)) {
            return 0;
        }
        b->state = TRAILER_VALUE;
        return c == ':' ? 0 : fail(b, HTTP1_E_HEADER, "Invalid header token");
    case TRAILER_VALUE:
        return trailer_value(b, c);
    case TRAILER_LF:
        b->state = TRAILER_FIRST;
        return c == '\n' ? 0
                         : fail(b, HTTP1_E_HEADER, "Missing expected LF after header value");
    default: /* END_LF */
        b->state = WHOLE;
        return c == '\n' ? 0 : fail(b, HTTP1_E_HEADER, "Expected LF after headers");
    }
}

/* ---- events ---- */

static int
chunked_byte(http1_body *b, char c)
{
    if (b->state < DATA) {
        return line_byte(b, c);
    }
    return b->state < TRAILER_FIRST ? data_end_byte(b, c) : trailer_byte(b, c);
}

int
http1_body_next(http1_body *b, const char *base, size_t len, size_t *used, const char **data,
                size_t *n)
{
    size_t i = 0;
    b->ntrailer = 0;
    while (b->state != DATA && b->state < WHOLE && i < len) {
        int rc = chunked_byte(b, base[i]);
        if (UNLIKELY(b->trailers != 0) && b->ntrailer++ == 0) {
            b->trailer = base + i;
        }
        if (UNLIKELY(rc < 0)) {
            b->error_at = *used = i;
            return rc;
        }
        i++;
        if (rc == HTTP1_CHUNK_END) {
            *used = i;
            return rc;
        }
    }
    *used = i;
    if (b->state >= WHOLE) {
        return b->state == WHOLE ? HTTP1_DONE : b->code;
    }
    if (i == len || b->state != DATA) {
        return HTTP1_MORE;
    }
    *data = base + i;
    *n = len - i;
    if (b->kind != HTTP1_BODY_EOF) {
        *n = *n < b->left ? *n : (size_t)b->left;
        b->left -= *n;
        if (b->left == 0) {
            b->state = b->kind == HTTP1_BODY_CHUNKED ? DATA_CR : WHOLE;
        }
    }
    *used = i + *n;
    return HTTP1_DATA;
}

int
http1_body_eof(http1_body *b)
{
    if (b->state == WHOLE || (b->kind == HTTP1_BODY_EOF && b->state == DATA)) {
        b->state = WHOLE;
        return 1;
    }
    if (b->state == FAILED) {
        return b->code;
    }
    if (b->kind == HTTP1_BODY_LENGTH) {
        return fail(b, HTTP1_E_SHORT_LENGTH, "Not enough data to satisfy content length header");
    }
    return fail(b, HTTP1_E_SHORT_CHUNKED, "Not enough data to satisfy transfer length header.");
}
