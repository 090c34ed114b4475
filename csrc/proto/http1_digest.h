/* http1_digest.h - what the fields of a whole head mean for the connection and the body. */
#ifndef UVOLT_PROTO_HTTP1_DIGEST_H
#define UVOLT_PROTO_HTTP1_DIGEST_H

#include "proto/http1.h"

/* Fills in the digested members of h. NULL, or the error's text, about the byte at *at. */
const char *http1_digest(http1_head *h, const http1_limits *l, const char *base, size_t *at);

#endif
