/* head.h - the head of a plain request, written in one go. */
#ifndef UVOLT_HTTP_HEAD_H
#define UVOLT_HTTP_HEAD_H

#include "http/session.h"

typedef enum { HEAD_ERROR = -1, HEAD_NOT_PLAIN = 0, HEAD_WRITTEN = 1 } head_outcome;

/* What a request of the fast way is made of; all borrowed. */
typedef struct head_source {
    PyObject *method;     /* str, upper case */
    PyObject *headers;    /* what the caller gave, or NULL */
    PyObject *cookie;     /* str for Cookie, or NULL */
    PyObject *body;       /* exact bytes, or NULL */
    const char *body_type; /* its Content-Type if no header says another; NULL: none */
} head_source;

/* aiohttp's order: Host, the caller's headers (over the session's), Accept, Accept-Encoding, User-Agent, Cookie, Content-Length,
 * Content-Type. HEAD_NOT_PLAIN: there is something in it that is Python's to deal with. PYCALL. */
head_outcome head_write(SessionObject *s, TargetObject *t, const head_source *src, buf *out);

enum { METHOD_IDEMPOTENT = 1, METHOD_NO_BODY = 2, METHOD_POST = 4, METHOD_HEAD = 8, METHOD_KNOWN = 16 };
unsigned head_method(PyObject *method); /* bits of an upper-case method; 0: not one of the usual */

#endif
