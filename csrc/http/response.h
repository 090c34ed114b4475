/* response.h - ResponseObject: `_core.ClientResponse`, the base of uvolt.http.ClientResponse, and the user of a connection.
 *
 * It is made before the request is sent, and belongs to the exchange (hop.h) until the head has come. Then it is
 * the caller's. The connection keeps it only while somebody waits for more: one that is dropped unread gives up its
 * exchange.
 * The head stays the bytes that came until somebody asks for headers. A body that came in one piece stays that piece;
 * any other is a BodyObject (`content`), which is also made when it is asked for.
 * Split by role: response.c life and what the connection tells; response_read.c read, text, json, release;
 * response_info.c the attributes. Threads: the loop's. */
#ifndef UVOLT_HTTP_RESPONSE_H
#define UVOLT_HTTP_RESPONSE_H

#include "base/buf.h"
#include "core/coro.h"
#include "core/waiter.h"
#include "http/body.h"
#include "http/connection.h"
#include "http/target.h"
#include "proto/http1.h"

typedef struct ResponseObject ResponseObject;
typedef struct SessionObject SessionObject;

/* A head: one piece of memory, fields first. */
typedef struct head_copy {
    http1_field *fields; /* raw; what follows them is `base` */
    char *base;
    uint32_t nfields;
    uint32_t reason, reason_len;
    http1_span content_type;
} head_copy;

/* When what had happened, on the loop's clock; 0: not yet. */
typedef struct response_times {
    double started; /* the request was begun */
    double granted; /* it had a place in the pool */
    double sent;    /* all of it was given to the transport */
    double heard;   /* the first byte of the answer */
    double done;    /* the last */
} response_times;

struct ResponseObject {
    PyObject_HEAD
    http_user user;
    LoopObject *loop;         /* strong until it is freed; NULL in one that was made by hand */
    PyObject *session;        /* strong: SessionObject, or what a hand-made one was given, or NULL */
    PyObject *resolve_charset; /* strong: a hand-made one's, or NULL: the session's */
    TargetObject *target;     /* strong, or NULL */
    PyObject *method;         /* strong: str */
    PyObject *url, *real_url; /* strong: yarl.URL, if they are not the target's */
    head_copy head;
    PyObject *status_obj;     /* strong, what was set or is read often; this and the next NULL until asked for */
    PyObject *reason;
    PyObject *version;
    PyObject *headers;
    PyObject *raw_headers;
    PyObject *history;        /* () if NULL */
    PyObject *request_info;
    PyObject *piece;          /* strong: exact bytes, all of the body so far, which came in one piece; or NULL */
    PyObject *body;           /* strong: what read() has got, `_body`; or NULL */
    BodyObject *content;      /* strong, but not if `kept`; or NULL: not made yet */
    PyObject *foreign;        /* strong: a `content` that somebody has set; or NULL */
    PyObject *on_read;        /* strong: on_read(response), awaited by read() once it has the body; or NULL */
    PyObject *steps;          /* strong: dict, what the connector has noted of connecting; or NULL */
    response_times *times;    /* owned; NULL: nobody asked for them */
    PyObject *slot;           /* strong: future of who waits for a connection, or NULL */
    waiter answered_by;       /* of who waits for the head */
    PyObject *failure;        /* strong: why there will be no head */
    PyObject *upload;         /* strong: task that sends the body, or NULL */
    PyObject *drained;        /* strong: list, futures of who waits for room in the socket, of the upload; or NULL */
    PyObject *continued;      /* strong: future of the upload that waits for 100 Continue */
    deadline total;           /* of the whole, until the body is there */
    buf *trailers;            /* raw: as they came, or NULL */
    buf sent;                 /* the head of the request; given back to the session */
    http1_limits limits;
    Py_ssize_t read_bufsize;
    int64_t content_length;   /* of the head, -1: none */
    uint64_t output;          /* bytes of the request that were written */
    uint16_t status;
    uint8_t version_major, version_minor;
    unsigned started : 1;     /* the head has come */
    unsigned complete : 1;    /* so has the body */
    unsigned chunked : 1;
    unsigned piece_ended : 1; /* ... and the piece was a chunk */
    unsigned empty : 1;       /* there is no body at all */
    unsigned closed : 1;
    unsigned released : 1;
    unsigned in_context : 1;
    unsigned decompress : 1;
    unsigned head_only : 1;
    unsigned has_set_cookie : 1;
    unsigned has_location : 1;
    unsigned reused : 1;      /* on a connection that had an exchange before */
    unsigned answered : 1;    /* any byte of the response came */
    unsigned may_continue : 1; /* 100 Continue came */
    unsigned uploading : 1;
    unsigned kept : 1;        /* by its content, whose reader is all that there is */
};

extern PyType_Spec http_response_spec;

/* ---- response.c */
/* Of the session's class. New reference. `method` and `target` get new references. */
ResponseObject *response_new(SessionObject *session, PyTypeObject *type, PyObject *method, TargetObject *target);
void response_restart(ResponseObject *r); /* the request is going to be sent again */
/* The body's reader: borrowed, or NULL with an exception. PYCALL. */
BodyObject *response_content(ResponseObject *r);
/* Nothing more is wanted: an exchange that is not over is cut off; the body cannot be read. PYCALL. */
void response_release(ResponseObject *r);
/* It fails now with `exc`, borrowed, from our side. PYCALL. */
void response_fail(ResponseObject *r, PyObject *exc);
void response_wake_caller(ResponseObject *r); /* who waits for a connection or for the head. PYCALL */

/* ---- response_read.c */
PyObject *response_read(PyObject *, PyObject *);
PyObject *response_text(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
PyObject *response_json(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);

/* ---- response_upload.c: for the task that sends the body */
PyObject *response_write(PyObject *, PyObject *);
PyObject *response_write_eof(PyObject *, PyObject *);
PyObject *response_wait_continued(PyObject *, PyObject *);
PyObject *response_upload_failed(PyObject *, PyObject *);

/* ---- response_info.c */
PyObject *response_make(PyObject *, PyObject *const *, Py_ssize_t); /* a hand-made one's members */
extern PyGetSetDef response_getset[];
PyObject *response_fallback(ResponseObject *r); /* borrowed: says the charset where no header does; or NULL */
PyObject *response_headers(ResponseObject *r); /* borrowed, or NULL with an exception. PYCALL */

#endif
