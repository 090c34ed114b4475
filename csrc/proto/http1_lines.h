/* http1_lines.h - the header lines of a response as almost all of them are, many at a time. */
#ifndef UVOLT_PROTO_HTTP1_LINES_H
#define UVOLT_PROTO_HTTP1_LINES_H

#include "proto/http1.h"

/* Takes lines from h->line on as long as they are plain: a token, a colon, a value without control
 * bytes, CRLF. 1: the empty line came, h->line is behind it. 0: h->line is the start of a line that
 * is not plain, not whole, over a limit or for which h->fields has no room: somebody else's. */
int http1_lines(http1_head *h, const http1_limits *l, const char *base, size_t len);

#endif
