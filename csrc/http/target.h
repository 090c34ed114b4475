/* target.h - where a URL's request goes: its route, request target and Host, found once per URL.
 *
 * A session keeps the targets of the URLs it has seen, by their text or yarl.URL, up to TARGET_CACHE of them; and for each
 * origin one of them, from which the next URL of that origin has its route without asking Python. */
#ifndef UVOLT_HTTP_TARGET_H
#define UVOLT_HTTP_TARGET_H

#include "http/pool.h"

#define TARGET_CACHE 512  /* URLs, and again as many origins */
#define TARGET_LONGEST 4096 /* characters; longer URLs are not kept */

typedef struct TargetObject {
    PyObject_HEAD
    RouteObject *route;  /* strong */
    PyObject *text;      /* strong: the URL as a str, or NULL if there is `real_url` */
    PyObject *real_url;  /* strong: yarl.URL with its fragment, made when asked for; or NULL */
    PyObject *url;       /* strong: the same without it; or NULL */
    char *line;          /* raw: "/target HTTP/1.1\r\nHost: name\r\n" */
    uint32_t line_len;
    uint32_t host_at;    /* where in it the line of Host begins */
} TargetObject;

typedef struct target_cache {
    PyObject *by_text;   /* strong: dict, str or yarl.URL -> TargetObject; NULL until used */
    PyObject *by_origin; /* strong: the same, "http://host:port" -> any target of it */
} target_cache;

/* `real_url` or `text` may be NULL, not both; host and target are checked for bytes that could break the head.
 * New reference, or NULL with an exception (ValueError). */
TargetObject *target_new(core_state *st, RouteObject *route, PyObject *text, PyObject *real_url, PyObject *host,
                         PyObject *target);

/* Of a request whose head is written elsewhere. New reference. */
TargetObject *target_bare(core_state *st, RouteObject *route, PyObject *real_url);

/* The target of a URL as the user gave it. 1 and a new reference; 0: not for the fast way; -1 with an exception.
 * `session` has _target_of(). PYCALL. */
int target_find(core_state *st, target_cache *cache, PyObject *session, PyObject *url, TargetObject **found);

/* Borrowed, or NULL with an exception. PYCALL. */
PyObject *target_real_url(core_state *st, TargetObject *t);
PyObject *target_url(core_state *st, TargetObject *t);

int target_cache_traverse(target_cache *cache, visitproc visit, void *arg);
void target_cache_clear(target_cache *cache);

extern PyType_Spec http_target_spec; /* _core.HTTPTarget */

#endif
