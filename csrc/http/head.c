/* head.c - the head of a plain request.
 *
 * Without headers of the caller's or the session's it is four pieces put together. Otherwise a small table of fields,
 * in which aiohttp's rules (CIMultiDict) are followed: who comes later takes the place of the same name.
 * Owns: nothing. Threads: the loop's. PYCALL: iterating over what is not a dict. */
#include "http/head.h"

#include "http/headers.h"
#include "proto/http1_write.h"

#define HEAD_FIELDS 64 /* with more, Python does it */

typedef struct head_field {
    const char *name, *value; /* borrowed from str objects, which the table's owner keeps */
    size_t name_len, value_len;
    int own; /* which of the two sources it came from */
    int is_gone;
} head_field;

typedef struct head_table {
    head_field fields[HEAD_FIELDS];
    int n;
    unsigned seen;   /* SEEN_... */
    PyObject *keep;  /* strong: what keeps the strings, or NULL */
} head_table;

enum { SEEN_HOST = 1, SEEN_ACCEPT = 2, SEEN_ENCODING = 4, SEEN_AGENT = 8, SEEN_TYPE = 16, SEEN_COOKIE = 32, SEEN_ODD = 64 };

/* ---- methods ------------------------------------------------------------------------------- */

unsigned
head_method(PyObject *method)
{
    static const struct {
        const char *name;
        Py_ssize_t n;
        unsigned bits;
    } methods[] = {
        {"GET", 3, METHOD_IDEMPOTENT | METHOD_NO_BODY},
        {"POST", 4, METHOD_POST},
        {"PUT", 3, METHOD_IDEMPOTENT | METHOD_POST},
        {"DELETE", 6, METHOD_IDEMPOTENT},
        {"HEAD", 4, METHOD_IDEMPOTENT | METHOD_NO_BODY | METHOD_HEAD},
        {"PATCH", 5, METHOD_POST},
        {"OPTIONS", 7, METHOD_IDEMPOTENT | METHOD_NO_BODY},
        {"TRACE", 5, METHOD_IDEMPOTENT | METHOD_NO_BODY},
    };
    if (!PyUnicode_IS_COMPACT_ASCII(method)) {
        return 0;
    }
    const char *s = (const char *)PyUnicode_1BYTE_DATA(method);
    Py_ssize_t n = PyUnicode_GET_LENGTH(method);
    for (size_t i = 0; i < Py_ARRAY_LENGTH(methods); i++) {
        if (n == methods[i].n && memcmp(s, methods[i].name, (size_t)n) == 0) {
            return methods[i].bits | METHOD_KNOWN;
        }
    }
    return 0;
}

/* ---- the table ----------------------------------------------------------------------------- */

/* Names that change what we do: bits of SEEN_..., SEEN_ODD for those that are Python's. */
static unsigned
meaning_of(const char *name, size_t n)
{
    static const struct {
        const char *lower;
        unsigned n, bit;
    } known[] = {
        {"host", 4, SEEN_HOST},
        {"accept", 6, SEEN_ACCEPT},
        {"cookie", 6, SEEN_COOKIE},
        {"expect", 6, SEEN_ODD},
        {"upgrade", 7, SEEN_ODD},
        {"trailer", 7, SEEN_ODD},
        {"connection", 10, SEEN_ODD},
        {"user-agent", 10, SEEN_AGENT},
        {"content-type", 12, SEEN_TYPE},
        {"content-length", 14, SEEN_ODD},
        {"accept-encoding", 15, SEEN_ENCODING},
        {"content-encoding", 16, SEEN_ODD},
        {"transfer-encoding", 17, SEEN_ODD},
    };
    for (size_t i = 0; i < Py_ARRAY_LENGTH(known); i++) {
        if (known[i].n == n && headers_same_name(name, n, known[i].lower, n)) {
            return known[i].bit;
        }
    }
    return 0;
}

static int
same_name(const head_field *a, const char *name, size_t n)
{
    if (a->is_gone || a->name_len != n) {
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        char x = a->name[i], y = name[i];
        x = x >= 'A' && x <= 'Z' ? (char)(x + 32) : x;
        y = y >= 'A' && y <= 'Z' ? (char)(y + 32) : y;
        if (x != y) {
            return 0;
        }
    }
    return 1;
}

/* As `result[key] = value`, or `result.add(key, value)` for a name this source has given before; the session's (not own)
 * are a multidict already. */
static int
table_put(head_table *t, const head_field *f)
{
    int place = -1, again = 0;
    for (int i = 0; i < t->n; i++) {
        head_field *old = &t->fields[i];
        if (!same_name(old, f->name, f->name_len)) {
            continue;
        }
        again |= old->own == f->own && (!f->own || memcmp(old->name, f->name, f->name_len) == 0);
        place = place < 0 ? i : place;
    }
    if (place < 0 || (again && (meaning_of(f->name, f->name_len) & SEEN_HOST) == 0)) {
        if (t->n == HEAD_FIELDS) {
            return 0;
        }
        t->fields[t->n++] = *f;
        return 1;
    }
    for (int i = place + 1; i < t->n; i++) {
        t->fields[i].is_gone |= same_name(&t->fields[i], f->name, f->name_len);
    }
    t->fields[place] = *f;
    return 1;
}

/* One header of the caller's. 1; 0: not plain (what is wrong with it, Python says). */
static int
table_add(head_table *t, PyObject *name, PyObject *value, int own)
{
    head_field f = {.own = own};
    Py_ssize_t n, v;
    if (!PyUnicode_Check(name) || !PyUnicode_Check(value)) {
        return 0;
    }
    f.name = PyUnicode_AsUTF8AndSize(name, &n);
    f.value = f.name == NULL ? NULL : PyUnicode_AsUTF8AndSize(value, &v);
    if (f.value == NULL) {
        PyErr_Clear();
        return 0;
    }
    f.name_len = (size_t)n;
    f.value_len = (size_t)v;
    unsigned meaning = meaning_of(f.name, f.name_len);
    if (meaning & SEEN_ODD) {
        return 0;
    }
    t->seen |= meaning;
    return table_put(t, &f);
}

/* (name, value) pairs of anything that has items(). */
static int
table_add_items(head_table *t, PyObject *source, int own)
{
    PyObject *items = PyMapping_Items(source);
    if (items == NULL || !PyList_CheckExact(items)) {
        PyErr_Clear();
        Py_XDECREF(items);
        return 0;
    }
    int ok = 1;
    for (Py_ssize_t i = 0; ok && i < PyList_GET_SIZE(items); i++) {
        PyObject *item = PyList_GET_ITEM(items, i);
        ok = PyTuple_CheckExact(item) && PyTuple_GET_SIZE(item) == 2
             && table_add(t, PyTuple_GET_ITEM(item, 0), PyTuple_GET_ITEM(item, 1), own);
    }
    if (t->keep == NULL) {
        t->keep = items;
        return ok;
    }
    PyObject *both = PyTuple_Pack(2, t->keep, items);
    Py_DECREF(items);
    if (both == NULL) {
        PyErr_Clear();
        return 0;
    }
    Py_SETREF(t->keep, both);
    return ok;
}

static int
is_empty(PyObject *mapping)
{
    if (mapping == NULL || mapping == Py_None) {
        return 1;
    }
    Py_ssize_t n = PyObject_Size(mapping);
    if (n < 0) {
        PyErr_Clear();
    }
    return n == 0;
}

/* 1; 0: not plain. */
static int
table_add_source(head_table *t, PyObject *source, int own)
{
    if (is_empty(source)) {
        return 1;
    }
    if (!own || !PyDict_CheckExact(source)) { /* the caller's may run code that changes the session's */
        return PyMapping_Check(source) && !PyList_Check(source) && !PyTuple_Check(source)
               && table_add_items(t, source, own);
    }
    Py_ssize_t at = 0;
    PyObject *name, *value;
    while (PyDict_Next(source, &at, &name, &value)) {
        if (!table_add(t, name, value, own)) {
            return 0;
        }
    }
    return 1;
}

/* ---- writing ------------------------------------------------------------------------------- */

/* Content-Length: by hand, snprintf() takes a thousand instructions. */
static int
put_length(buf *out, size_t n)
{
    static const char name[] = "Content-Length: ";
    char digits[24], *end = digits + sizeof digits, *p = end - 2;
    memcpy(p, "\r\n", 2);
    do {
        *--p = (char)('0' + n % 10);
        n /= 10;
    } while (n != 0);
    int err = buf_append(out, name, sizeof name - 1);
    return err < 0 ? err : buf_append(out, p, (size_t)(end - p));
}

static int
put_field(buf *out, const char *name, const char *value)
{
    return http1_write_field(out, name, strlen(name), value, strlen(value));
}

/* Those of the automatic headers that the caller has not given. */
static int
put_automatic(const buf *automatic, buf *out, unsigned seen)
{
    static const struct {
        const char *lower;
        unsigned bit;
    } names[] = {{"accept", SEEN_ACCEPT}, {"accept-encoding", SEEN_ENCODING}, {"user-agent", SEEN_AGENT}};
    const char *line = automatic->data, *end = line + automatic->len;
    int err = BUF_OK;
    while (line < end && err == BUF_OK) {
        const char *next = (const char *)memchr(line, '\n', (size_t)(end - line)) + 1;
        const char *colon = memchr(line, ':', (size_t)(next - line));
        size_t n = (size_t)(colon - line);
        int given = 0;
        for (size_t i = 0; i < Py_ARRAY_LENGTH(names); i++) {
            given |= (seen & names[i].bit) && headers_same_name(line, n, names[i].lower, strlen(names[i].lower));
        }
        if (!given) {
            err = buf_append(out, line, (size_t)(next - line));
        }
        line = next;
    }
    return err;
}

/* Host and what the caller has given. */
static int
put_table(TargetObject *t, buf *out, head_table *table)
{
    int err = BUF_OK;
    const head_field *host = NULL;
    for (int i = 0; (table->seen & SEEN_HOST) && i < table->n; i++) {
        if (!table->fields[i].is_gone && (meaning_of(table->fields[i].name, table->fields[i].name_len) & SEEN_HOST)) {
            host = &table->fields[i];
        }
    }
    if (host == NULL) {
        err = buf_append(out, t->line, t->line_len);
    }
    else {
        err = buf_append(out, t->line, t->host_at);
        err = err < 0 ? err : http1_write_field(out, host->name, host->name_len, host->value, host->value_len);
    }
    for (int i = 0; err == BUF_OK && i < table->n; i++) {
        const head_field *f = &table->fields[i];
        if (!f->is_gone && f != host) {
            err = http1_write_field(out, f->name, f->name_len, f->value, f->value_len);
        }
    }
    return err;
}

/* Cookie and what says what the body is. */
static int
put_tail(const head_source *src, buf *out, unsigned seen, unsigned bits)
{
    int err = BUF_OK;
    if (src->cookie != NULL) {
        Py_ssize_t n;
        const char *text = PyUnicode_AsUTF8AndSize(src->cookie, &n);
        err = text == NULL ? HTTP1_W_VALUE : http1_write_field(out, "Cookie", 6, text, (size_t)n);
    }
    if (err == BUF_OK && src->body != NULL) {
        err = put_length(out, (size_t)PyBytes_GET_SIZE(src->body));
    }
    else if (err == BUF_OK && !(bits & METHOD_NO_BODY)) {
        err = put_length(out, 0);
    }
    if (err == BUF_OK && !(seen & SEEN_TYPE)) {
        if (src->body_type != NULL) {
            err = put_field(out, "Content-Type", src->body_type);
        }
        else if (bits & METHOD_POST) {
            err = put_field(out, "Content-Type", "application/octet-stream");
        }
    }
    return err < 0 ? err : http1_write_end(out);
}

static int
put_all(const buf *automatic, TargetObject *t, const head_source *src, buf *out, head_table *table, unsigned bits)
{
    Py_ssize_t n;
    const char *method = PyUnicode_AsUTF8AndSize(src->method, &n);
    int err = buf_append(out, method, (size_t)n);
    err = err < 0 ? err : buf_append(out, " ", 1);
    if (LIKELY(table == NULL)) {
        err = err < 0 ? err : buf_append(out, t->line, t->line_len);
        err = err < 0 ? err : buf_append(out, automatic->data, automatic->len);
        return err < 0 ? err : put_tail(src, out, 0, bits);
    }
    err = err < 0 ? err : put_table(t, out, table);
    err = err < 0 ? err : put_automatic(automatic, out, table->seen);
    return err < 0 ? err : put_tail(src, out, table->seen, bits);
}

static head_outcome
outcome_of(int err)
{
    if (LIKELY(err == BUF_OK)) {
        return HEAD_WRITTEN;
    }
    if (err == BUF_NOMEM) {
        PyErr_NoMemory();
        return HEAD_ERROR;
    }
    PyErr_Clear();
    return HEAD_NOT_PLAIN;
}

/* No Python runs between this asking for the automatic headers and their use. */
static head_outcome
write_all(SessionObject *s, TargetObject *t, const head_source *src, buf *out, head_table *table, unsigned bits)
{
    const buf *automatic = session_automatic(s);
    return automatic == NULL ? HEAD_ERROR : outcome_of(put_all(automatic, t, src, out, table, bits));
}

head_outcome
head_write(SessionObject *s, TargetObject *t, const head_source *src, buf *out)
{
    unsigned bits = head_method(src->method);
    if (UNLIKELY(!(bits & METHOD_KNOWN))) {
        return HEAD_NOT_PLAIN;
    }
    out->len = 0;
    if (LIKELY(is_empty(src->headers) && is_empty(s->default_headers))) {
        return write_all(s, t, src, out, NULL, bits);
    }
    head_table table;
    table.n = 0;
    table.seen = 0;
    table.keep = NULL;
    head_outcome outcome = HEAD_NOT_PLAIN;
    if (table_add_source(&table, s->default_headers, 0) && table_add_source(&table, src->headers, 1)
        && (src->cookie == NULL || !(table.seen & SEEN_COOKIE))) {
        outcome = write_all(s, t, src, out, &table, bits);
    }
    Py_XDECREF(table.keep);
    return outcome;
}
