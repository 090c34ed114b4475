/* headers.h - header fields as Python has them: multidict's types, strings decoded as aiohttp decodes them. */
#ifndef UVOLT_HTTP_HEADERS_H
#define UVOLT_HTTP_HEADERS_H

#include "http/state.h"
#include "proto/http1.h"

/* A value or a name: UTF-8, other bytes as surrogate escapes. New reference. */
PyObject *headers_text(const char *s, size_t n);

/* CIMultiDictProxy of the fields of a head. New reference. PYCALL. */
PyObject *headers_multidict(core_state *st, const char *base, const http1_field *fields, uint32_t n);
/* ((name, value), ...) in bytes. New reference. */
PyObject *headers_raw(const char *base, const http1_field *fields, uint32_t n);
/* CIMultiDictProxy of the headers of a request as it was sent. New reference. PYCALL. */
PyObject *headers_of_request(core_state *st, const char *head, size_t len);

/* The same name? `lower` is in lower case. */
static inline int
headers_same_name(const char *name, size_t n, const char *lower, size_t lower_len)
{
    if (n != lower_len) {
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        char c = name[i];
        if ((c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c) != lower[i]) {
            return 0;
        }
    }
    return 1;
}

#endif
