/* http1.c - a response's head: the status line, and the header lines that are not plain.
 *
 * Lines are judged when they are whole, so that the verdict does not depend on how the input is cut;
 * only a status line that cannot become one is refused at once, since what speaks no HTTP may never
 * end a line. Whole plain lines are http1_lines()'s, what the fields mean is http1_digest()'s. */
#include "proto/http1.h"

#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "proto/chars.h"
#include "proto/http1_digest.h"
#include "proto/http1_lines.h"

enum { HEAD_START, HEAD_FIELDS, HEAD_DONE };
enum { LINE_MORE = 0, LINE_TAKEN = 1, LINE_EMPTY = 2 };

#define FIELDS_MIN 32
#define STATUS_LEN 12 /* "HTTP/1.1 200" */

void
http1_head_init(http1_head *h)
{
    memset(h, 0, sizeof(*h));
    h->content_length = -1;
}

void
http1_head_reset(http1_head *h)
{
    http1_field *fields = h->fields;
    uint32_t room = h->fields_room;
    http1_head_init(h);
    h->fields = fields;
    h->fields_room = room;
}

void
http1_head_free(http1_head *h)
{
    free(h->fields);
    http1_head_init(h);
}

static COLD int
fail(http1_head *h, http1_error code, const char *error, size_t at)
{
    h->code = (int8_t)code;
    h->error = error;
    h->error_at = (uint32_t)at;
    return code;
}

/* Room for one field more. 0 or -1. */
static int
fields_grow(http1_head *h)
{
    uint32_t room = h->fields_room != 0 ? 2 * h->fields_room : FIELDS_MIN;
    http1_field *fields = realloc(h->fields, room * sizeof(*fields));
    if (fields == NULL) {
        return -1;
    }
    h->fields = fields;
    h->fields_room = room;
    return 0;
}

/* The end of the line at h->line: its LF, or NULL if it has not come yet. No byte is seen twice. */
static const char *
find_lf(http1_head *h, const char *base, size_t len)
{
    size_t from = h->seen > h->line ? h->seen : h->line;
    const char *lf = memchr(base + from, '\n', len - from);
    h->seen = lf != NULL ? (uint32_t)(lf - base) : (uint32_t)len;
    return lf;
}

/* ---- the status line ---- */

/* What is wrong with the first n bytes of a status line, at *at; NULL if nothing is. */
static const char *
status_fault(const char *p, size_t n, size_t *at)
{
    static const char form[] = "HTTP/d.d ddd";
    for (size_t i = 0; i < n && i < STATUS_LEN; i++) {
        *at = i;
        if (form[i] == 'd' ? p[i] < '0' || p[i] > '9' : p[i] != form[i]) {
            return i < 5    ? "Expected HTTP/, RTSP/ or ICE/"
                   : i == 5 ? "Invalid major version"
                   : i == 6 ? "Expected dot"
                   : i == 7 ? "Invalid minor version"
                   : i == 8 ? "Expected space after version"
                            : "Invalid status code";
        }
        if (i == 7) {
            int version = 10 * (p[5] - '0') + (p[7] - '0');
            if (version != 11 && version != 10 && version != 9 && version != 20) {
                *at = i + 1;
                return "Invalid HTTP version";
            }
        }
        if (i == 9 && p[i] == '0') {
            return "Invalid status code";
        }
    }
    *at = STATUS_LEN;
    if (n > STATUS_LEN && p[STATUS_LEN] != ' ' && p[STATUS_LEN] != '\r' && p[STATUS_LEN] != '\n') {
        return "Invalid response status";
    }
    return NULL;
}

/* Whether n bytes begin as nearly all responses do: status_fault() would find nothing. */
static int
status_is_plain(const char *p, size_t n)
{
    return n > STATUS_LEN && (memcmp(p, "HTTP/1.1", 8) == 0 || memcmp(p, "HTTP/1.0", 8) == 0) &&
           p[8] == ' ' && p[9] >= '1' && p[9] <= '9' && (unsigned)(p[10] - '0') <= 9 &&
           (unsigned)(p[11] - '0') <= 9 && p[12] == ' ';
}

/* The reason, from `at` to `end`, its LF at `end` or behind a CR there. */
static int
reason_take(http1_head *h, const http1_limits *l, const char *base, size_t at, size_t lf)
{
    size_t end = lf;
    if (lf > at && base[lf - 1] == '\r') {
        end--;
    }
    else if (!l->lenient) {
        return fail(h, HTTP1_E_HEADER, "Missing expected CR after response line", lf);
    }
    h->reason = (uint32_t)at;
    h->reason_len = (uint32_t)(end - at);
    for (size_t i = at; i < end; i++) {
        if (LIKELY(char_is(base[i], CHAR_VALUE))) {
            continue;
        }
        if (base[i] == '\r') {
            return fail(h, HTTP1_E_HEADER, "Expected LF after CR", i + 1);
        }
        if (base[i] == '\0' || !l->lenient) {
            return fail(h, HTTP1_E_STATUS_LINE, "Invalid response status", i);
        }
    }
    return LINE_TAKEN;
}

/* Passes over empty lines before the status line. LINE_TAKEN when there is something else. */
static int
leading_lines(http1_head *h, const http1_limits *l, const char *base, size_t len)
{
    while (h->line < len && UNLIKELY(base[h->line] == '\r' || base[h->line] == '\n')) {
        if (h->line > l->max_line) {
            return fail(h, HTTP1_E_TOO_LONG, "Too many empty lines", h->line);
        }
        if (base[h->line] == '\r') {
            if (h->line + 1 == len) {
                return LINE_MORE;
            }
            if (base[h->line + 1] != '\n') {
                return fail(h, HTTP1_E_HEADER, "Expected LF after CR", h->line + 1);
            }
            h->line++;
        }
        h->line++;
    }
    return h->line < len ? LINE_TAKEN : LINE_MORE;
}

static int
status_line(http1_head *h, const http1_limits *l, const char *base, size_t len)
{
    int rc = leading_lines(h, l, base, len);
    if (rc != LINE_TAKEN) {
        return rc;
    }
    const char *p = base + h->line;
    size_t at, start = h->line + STATUS_LEN;
    if (UNLIKELY(!status_is_plain(p, len - h->line))) {
        const char *fault = status_fault(p, len - h->line, &at);
        if (fault != NULL) {
            return fail(h, HTTP1_E_STATUS_LINE, fault, h->line + at);
        }
    }
    const char *lf = find_lf(h, base, len);
    size_t end = lf != NULL ? (size_t)(lf - base) : len;
    if (UNLIKELY(end > start && end - start > (size_t)l->max_line + 2)) { /* SP and CR */
        return fail(h, HTTP1_E_TOO_LONG, "Status line too long", start + 1);
    }
    if (lf == NULL) {
        return LINE_MORE;
    }
    h->version_major = (uint8_t)(p[5] - '0');
    h->version_minor = (uint8_t)(p[7] - '0');
    h->status = (uint16_t)(100 * (p[9] - '0') + 10 * (p[10] - '0') + (p[11] - '0'));
    rc = reason_take(h, l, base, start + (p[STATUS_LEN] == ' '), end);
    if (rc == LINE_TAKEN && UNLIKELY(h->reason_len > l->max_line)) {
        return fail(h, HTTP1_E_TOO_LONG, "Status line too long", h->reason);
    }
    h->line = (uint32_t)end + 1;
    return rc;
}

/* ---- header lines, one at a time ---- */

/* The bytes from `at` to `end` as (part of) a value. */
static int
value_check(http1_head *h, const http1_limits *l, const char *base, size_t at, size_t end)
{
    for (size_t i = at; i < end; i++) {
        if (LIKELY(char_is(base[i], CHAR_VALUE))) {
            continue;
        }
        if (base[i] == '\r') {
            return fail(h, HTTP1_E_HEADER, "Missing expected LF after header value", i + 1);
        }
        if (base[i] == '\0') {
            return fail(h, HTTP1_E_VALUE, "Invalid HTTP header", at);
        }
        if (!l->lenient) {
            return fail(h, HTTP1_E_HEADER, "Invalid header value char", i);
        }
    }
    return LINE_TAKEN;
}

static void
trim(const char *base, size_t *at, size_t *end)
{
    while (*at < *end && char_is_space(base[*at])) {
        ++*at;
    }
    while (*end > *at && char_is_space(base[*end - 1])) {
        --*end;
    }
}

/* A line that goes on with the value before it (obs-fold): joined to it by one space. */
static int
fold_take(http1_head *h, const http1_limits *l, char *base, size_t end)
{
    size_t at = h->line;
    http1_field *f = &h->fields[h->nfields - 1];
    if (end - f->name > (size_t)l->max_field + 2) {
        return fail(h, HTTP1_E_TOO_LONG, "Header too long", f->value);
    }
    int rc = value_check(h, l, base, at, end);
    if (rc != LINE_TAKEN) {
        return rc;
    }
    trim(base, &at, &end);
    if (at == end) {
        return LINE_TAKEN;
    }
    if (f->value_len == 0) {
        f->value = (uint32_t)at;
        f->value_len = (uint32_t)(end - at);
        return LINE_TAKEN;
    }
    char *to = base + f->value + f->value_len;
    *to++ = ' ';
    memmove(to, base + at, end - at);
    f->value_len += 1 + (uint32_t)(end - at);
    return LINE_TAKEN;
}

/* The line from h->line to `end`. */
static int
field_take(http1_head *h, const http1_limits *l, const char *base, size_t end)
{
    size_t colon = h->line;
    while (colon < end && char_is(base[colon], CHAR_TOKEN)) {
        colon++;
    }
    if (colon == end || base[colon] != ':' || colon == h->line) {
        return fail(h, HTTP1_E_HEADER, "Invalid header token", colon);
    }
    size_t at = colon + 1;
    /* The name and the value, and by custom a space: more white space counts. */
    if (end - h->line > (size_t)l->max_field + 1 + (at < end && base[at] == ' ')) {
        return fail(h, HTTP1_E_TOO_LONG, "Header too long", at);
    }
    size_t stop = end;
    trim(base, &at, &stop);
    int rc = value_check(h, l, base, at, stop);
    if (rc != LINE_TAKEN) {
        return rc;
    }
    if (h->nfields >= l->max_headers) {
        return fail(h, HTTP1_E_TOO_MANY, "Too many headers received", h->line);
    }
    if (h->nfields == h->fields_room && fields_grow(h) < 0) {
        return fail(h, HTTP1_E_NOMEM, "Out of memory", h->line);
    }
    h->fields[h->nfields++] = (http1_field){h->line, (uint32_t)(colon - h->line), (uint32_t)at,
                                            (uint32_t)(stop - at)};
    return LINE_TAKEN;
}

static int
header_line(http1_head *h, const http1_limits *l, char *base, size_t len)
{
    /* What begins so is refused whatever follows. */
    if (len - h->line >= 2 && base[h->line] == '\r' && base[h->line + 1] != '\n') {
        return fail(h, HTTP1_E_HEADER, "Expected LF after headers", h->line + 1);
    }
    if (len > h->line && char_is_space(base[h->line]) && (h->nfields == 0 || !l->lenient)) {
        return fail(h, HTTP1_E_HEADER,
                    h->nfields == 0 ? "Unexpected space after start line"
                                    : "Unexpected whitespace after header value",
                    h->line);
    }
    const char *lf = find_lf(h, base, len);
    size_t end = lf != NULL ? (size_t)(lf - base) : len;
    if (UNLIKELY(end - h->line > (size_t)l->max_field + 3)) { /* colon, SP and CR */
        const char *colon = memchr(base + h->line, ':', end - h->line);
        size_t at = colon != NULL ? (size_t)(colon + 1 - base) : h->line;
        return fail(h, HTTP1_E_TOO_LONG, "Header too long", at);
    }
    if (lf == NULL) {
        return LINE_MORE;
    }
    size_t next = end + 1;
    if (end > h->line && base[end - 1] == '\r') {
        end--;
    }
    else if (!l->lenient) {
        return fail(h, HTTP1_E_HEADER, "Missing expected CR after header value", end);
    }
    int rc = LINE_EMPTY;
    if (end > h->line) {
        rc = char_is_space(base[h->line]) ? fold_take(h, l, base, end) : field_take(h, l, base, end);
    }
    if (rc > 0) {
        h->line = (uint32_t)next;
    }
    return rc;
}

/* All lines have come. */
static int
complete(http1_head *h, const http1_limits *l, const char *base)
{
    size_t at = 0;
    const char *fault = http1_digest(h, l, base, &at);
    if (UNLIKELY(fault != NULL)) {
        return fail(h, HTTP1_E_FRAMING, fault, at);
    }
    h->state = HEAD_DONE;
    h->head_len = h->line;
    return (int)h->head_len;
}

int
http1_head_parse(http1_head *h, const http1_limits *l, char *base, size_t len)
{
    if (UNLIKELY(len > INT32_MAX)) {
        len = INT32_MAX; /* more than all limits together allow */
    }
    if (UNLIKELY(h->code != 0 || h->state == HEAD_DONE)) {
        return h->code != 0 ? h->code : (int)h->head_len;
    }
    if (h->state == HEAD_START) {
        int rc = status_line(h, l, base, len);
        if (rc != LINE_TAKEN) {
            return rc;
        }
        if (UNLIKELY(h->fields == NULL) && fields_grow(h) < 0) {
            return fail(h, HTTP1_E_NOMEM, "Out of memory", h->line);
        }
        h->state = HEAD_FIELDS;
    }
    for (;;) {
        if (h->seen <= h->line && http1_lines(h, l, base, len)) {
            return complete(h, l, base);
        }
        int rc = header_line(h, l, base, len);
        if (rc == LINE_EMPTY) {
            return complete(h, l, base);
        }
        if (rc != LINE_TAKEN) {
            return rc;
        }
    }
}

const http1_field *
http1_head_find(const http1_head *h, const char *base, const char *name, size_t name_len,
                uint32_t from)
{
    for (uint32_t i = from; i < h->nfields; i++) {
        const http1_field *f = &h->fields[i];
        if (f->name_len == name_len && char_equal(base + f->name, name, name_len)) {
            return f;
        }
    }
    return NULL;
}
