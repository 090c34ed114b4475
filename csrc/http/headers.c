/* headers.c - header fields as Python has them. Owns nothing. PYCALL: the functions that make a multidict.
 * Threads: the loop's. */
#include "http/headers.h"

PyObject *
headers_text(const char *s, size_t n)
{
    return PyUnicode_DecodeUTF8(s, (Py_ssize_t)n, "surrogateescape");
}

/* Steals both, which may be NULL. */
static PyObject *
pair(PyObject *name, PyObject *value)
{
    PyObject *tuple = name == NULL || value == NULL ? NULL : PyTuple_New(2);
    if (tuple == NULL) {
        Py_XDECREF(name);
        Py_XDECREF(value);
        return NULL;
    }
    PyTuple_SET_ITEM(tuple, 0, name);
    PyTuple_SET_ITEM(tuple, 1, value);
    return tuple;
}

/* CIMultiDictProxy(CIMultiDict(pairs)). Steals `pairs`, which may be NULL. */
static PyObject *
proxy_of(core_state *st, PyObject *pairs)
{
    PyObject *dict = pairs == NULL ? NULL : PyObject_CallOneArg(st->http->CIMultiDict, pairs);
    PyObject *proxy = dict == NULL ? NULL : PyObject_CallOneArg(st->http->CIMultiDictProxy, dict);
    Py_XDECREF(pairs);
    Py_XDECREF(dict);
    return proxy;
}

PyObject *
headers_multidict(core_state *st, const char *base, const http1_field *fields, uint32_t n)
{
    PyObject *pairs = PyList_New(n);
    for (uint32_t i = 0; pairs != NULL && i < n; i++) {
        const http1_field *f = &fields[i];
        PyObject *item = pair(headers_text(base + f->name, f->name_len), headers_text(base + f->value, f->value_len));
        if (item == NULL) {
            Py_CLEAR(pairs);
            break;
        }
        PyList_SET_ITEM(pairs, i, item);
    }
    return proxy_of(st, pairs);
}

PyObject *
headers_raw(const char *base, const http1_field *fields, uint32_t n)
{
    PyObject *raw = PyTuple_New(n);
    for (uint32_t i = 0; raw != NULL && i < n; i++) {
        const http1_field *f = &fields[i];
        PyObject *item = pair(PyBytes_FromStringAndSize(base + f->name, f->name_len),
                              PyBytes_FromStringAndSize(base + f->value, f->value_len));
        if (item == NULL) {
            Py_CLEAR(raw);
            break;
        }
        PyTuple_SET_ITEM(raw, i, item);
    }
    return raw;
}

/* What we wrote ourselves: "Name: value" CRLF. */
PyObject *
headers_of_request(core_state *st, const char *head, size_t len)
{
    const char *end = head + len, *line = len == 0 ? NULL : memchr(head, '\n', len);
    PyObject *pairs = PyList_New(0);
    while (pairs != NULL && line != NULL && ++line < end) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        const char *colon = next == NULL ? NULL : memchr(line, ':', (size_t)(next - line));
        if (colon == NULL) {
            break;
        }
        const char *value = colon + 1, *stop = next > value && next[-1] == '\r' ? next - 1 : next;
        value += value < stop && *value == ' ';
        PyObject *item = pair(headers_text(line, (size_t)(colon - line)), headers_text(value, (size_t)(stop - value)));
        if (item == NULL || PyList_Append(pairs, item) < 0) {
            Py_CLEAR(pairs);
        }
        Py_XDECREF(item);
        line = next;
    }
    return proxy_of(st, pairs);
}
