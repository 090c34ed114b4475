/* http1.h - HTTP/1.1 responses: the head, and where its body ends (RFC 9112). Plain C, no I/O.
 *
 * Both parsers are fed whatever there is and are resumable at any byte; no byte is looked at more
 * than a fixed number of times, however the input is cut. The head is parsed in place: the caller
 * keeps all its bytes, contiguous, until it is complete, and may move them between the calls, which
 * is why all that is found is given as offsets from the start of the head. A body is not kept.
 * Lenient is what aiohttp accepts of servers; strict is RFC 9112 (docs/http1.md has the table). */
#ifndef UVOLT_PROTO_HTTP1_H
#define UVOLT_PROTO_HTTP1_H

#include <stddef.h>
#include <stdint.h>

typedef struct http1_limits {
    uint32_t max_line;    /* of the reason, and of a chunk's line */
    uint32_t max_field;   /* name and value of one header or trailer together */
    uint32_t max_headers; /* fields in a head, and again in the trailers */
    unsigned lenient;     /* bool */
    unsigned no_eof;      /* bool: a response that does not say how long it is has no body */
} http1_limits;

#define HTTP1_LIMITS_DEFAULT {8190, 8190, 128, 1, 0}

/* What went wrong. Each stands for a class of aiohttp's, http1_error_kind() has its name. */
typedef enum http1_error {
    HTTP1_E_STATUS_LINE = -1, /* BadStatusLine */
    HTTP1_E_TOO_LONG = -2,    /* LineTooLong: a limit of bytes */
    HTTP1_E_TOO_MANY = -3,    /* BadHttpMessage: the limit of fields */
    HTTP1_E_HEADER = -4,      /* BadHttpMessage: a malformed line */
    HTTP1_E_VALUE = -5,       /* InvalidHeader: NUL in a value */
    HTTP1_E_FRAMING = -6,     /* BadHttpMessage: Content-Length, Transfer-Encoding */
    HTTP1_E_CHUNK = -7,       /* BadHttpMessage: malformed chunked coding */
    HTTP1_E_SHORT_LENGTH = -8,  /* ContentLengthError: closed before Content-Length bytes */
    HTTP1_E_SHORT_CHUNKED = -9, /* TransferEncodingError: closed before the last chunk */
    HTTP1_E_NOMEM = -10,
} http1_error;

typedef struct http1_span {
    uint32_t at, len;
} http1_span;

typedef struct http1_field {
    uint32_t name, name_len;   /* as sent */
    uint32_t value, value_len; /* without white space around it, folds joined by one space */
} http1_field;

typedef struct http1_head {
    /* The status line. */
    uint8_t version_major, version_minor; /* 0.9, 1.0, 1.1 or 2.0 */
    uint16_t status;                      /* 100 to 999 */
    uint32_t reason, reason_len;
    /* The fields, in the order they came. */
    http1_field *fields; /* owned; kept from one head to the next */
    uint32_t nfields;
    /* What the fields say. Set when the head is complete. */
    uint32_t head_len;           /* bytes up to and with the empty line */
    int64_t content_length;      /* -1: there is none */
    unsigned chunked : 1;        /* the last transfer coding is chunked */
    unsigned te_other : 1;       /* there is another transfer coding */
    unsigned keep_alive : 1;     /* by version and Connection alone; framing may say otherwise */
    unsigned upgrade : 1;        /* Upgrade, and Connection: upgrade */
    unsigned has_location : 1;   /* Location (or URI) */
    unsigned has_set_cookie : 1;
    uint32_t ncontent_encoding;  /* fields of that name */
    http1_span content_encoding; /* value of the last of them; len 0: none */
    http1_span content_type;     /* value of the first; len 0: none */
    /* After an error. */
    const char *error;           /* static text, without the line it is about */
    uint32_t error_at;           /* offset of the offending byte */
    /* How far we are; not for callers. */
    uint32_t line, seen, fields_room;
    uint8_t state;
    int8_t code; /* of the error */
} http1_head;

void http1_head_init(http1_head *h);  /* once */
void http1_head_reset(http1_head *h); /* before each further head; keeps the memory */
void http1_head_free(http1_head *h);

/* > 0: complete, and that many bytes long. 0: more bytes are needed. < 0: http1_error.
 * `base` is where the head begins and `len` all there is from there on. Empty lines before the
 * status line belong to the head. Folded values are joined in place. */
int http1_head_parse(http1_head *h, const http1_limits *l, char *base, size_t len);

/* The first field of that name (lower case) at or behind index `from`; NULL if there is none. */
const http1_field *http1_head_find(const http1_head *h, const char *base, const char *name,
                                   size_t name_len, uint32_t from);

/* aiohttp's words for the error `code` that http1_head_parse() returned on these bytes: with the
 * line, escaped as Python does, and a mark under the place. NUL-terminated; returns its length.
 * HTTP1_ERROR_ROOM is enough for all. */
#define HTTP1_ERROR_ROOM 1024
size_t http1_head_error_text(const http1_head *h, int code, const http1_limits *l, const char *base,
                             size_t len, char *out, size_t room);

/* The name of aiohttp's exception class for an error: "BadHttpMessage", "LineTooLong", ... */
const char *http1_error_kind(int code);

/* ---- body ---- */

typedef enum http1_framing {
    HTTP1_BODY_NONE,    /* there is none: HEAD, 1xx, 204, 304, 2xx to CONNECT */
    HTTP1_BODY_LENGTH,  /* `left` more bytes */
    HTTP1_BODY_CHUNKED,
    HTTP1_BODY_EOF,     /* until the connection closes: it cannot be used again */
} http1_framing;

typedef struct http1_body {
    http1_framing kind;
    uint8_t state;
    int8_t code;         /* of the error */
    uint16_t trailers;   /* fields so far */
    uint32_t line_len;   /* of the chunk's line or of the trailer */
    uint32_t excess;     /* of chunk lines over data, bytes */
    uint64_t left;       /* of the body (LENGTH) or of the chunk (CHUNKED) */
    uint64_t total;      /* Content-Length (LENGTH) */
    http1_limits limits;
    const char *error;   /* static text, after an error */
    size_t error_at;     /* offset in the bytes of the call that failed */
    const char *trailer; /* what this call took of the trailers, as it came, in the caller's buffer */
    size_t ntrailer;     /* bytes of it; with the line ends, and at last the empty line */
} http1_body;

typedef enum http1_event {
    HTTP1_MORE = 0,      /* all was used, more is needed */
    HTTP1_DATA = 1,      /* *data, *n: bytes of the body, in the caller's buffer */
    HTTP1_CHUNK_END = 2, /* of a chunk that had data */
    HTTP1_DONE = 3,      /* the body is whole; what is behind *used is not the body's */
} http1_event;

enum { HTTP1_TO_HEAD = 1, HTTP1_TO_CONNECT = 2 }; /* what the request was, as far as it matters */

/* Where the body of this response ends (RFC 9112 section 6.3). */
void http1_body_init(http1_body *b, const http1_head *h, const http1_limits *l, unsigned request);

/* The next event: http1_event, or < 0: http1_error. *used: how many bytes of base this call took,
 * which are not to be given again. Call it until MORE, DONE or an error. With len 0 it answers
 * MORE, or DONE when nothing is missing. After DONE and after an error it repeats itself. */
int http1_body_next(http1_body *b, const char *base, size_t len, size_t *used, const char **data,
                    size_t *n);

/* The peer has closed: 1 the body is whole, < 0: HTTP1_E_SHORT_*. */
int http1_body_eof(http1_body *b);

/* Whether the connection could carry another response after this body, as far as framing says. */
static inline int
http1_body_delimited(const http1_body *b)
{
    return b->kind != HTTP1_BODY_EOF;
}

/* As http1_head_error_text(); base and len are those of the call that failed (0 for eof). */
size_t http1_body_error_text(const http1_body *b, int code, const char *base, size_t len, char *out,
                             size_t room);

#endif
