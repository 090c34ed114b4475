/* stream_info.c - what a transport tells of itself: addresses, socket object, get_extra_info, attributes.
 * Owns:    s->extra, s->sock. Threads: the loop's. PYCALL: all that make Python objects. */
#include "net/stream.h"
#include "runtime/args.h"

#include <netinet/tcp.h>

/* ---- addresses ----------------------------------------------------------------------------- */

/* The dict with socket, sockname and peername, as asyncio fills it. Borrowed, or NULL. */
PyObject *
stream_need_extra(StreamObject *s)
{
    if (s->extra == NULL && (s->extra = PyDict_New()) == NULL) {
        return NULL;
    }
    return s->extra;
}

static PyObject *make_sock(StreamObject *s);

/* The name of a family that only Python's socket knows (AF_VSOCK and its like). New reference. */
static COLD PyObject *
ask_python(StreamObject *s, const char *method)
{
    PyObject *sock = make_sock(s);
    PyObject *name = sock == NULL ? NULL : PyObject_CallMethod(sock, method, NULL);
    Py_XDECREF(sock);
    if (name == NULL && PyErr_ExceptionMatches(PyExc_OSError)) { /* not connected any more */
        PyErr_Clear();
        name = Py_NewRef(Py_None);
    }
    return name;
}

/* A name that does not fit into small_addr, such as a Unix path: keep it as Python's object. -1 with an exception. */
static int
keep_long_name(StreamObject *s, int (*ask)(int, struct sockaddr *, socklen_t *), PyObject *key)
{
    struct sockaddr_storage storage = {.ss_family = AF_UNSPEC};
    struct sockaddr *sa = (struct sockaddr *)&storage;
    socklen_t len = sizeof(storage);
    if (ask(s->fd, sa, &len) < 0) {
        return 0;
    }
    PyObject *extra = stream_need_extra(s), *name = NULL;
    if (extra != NULL) {
        name = uvolt_sockaddr_known(sa) ? uvolt_sockaddr_to_py(sa, len)
                                        : ask_python(s, ask == getsockname ? "getsockname" : "getpeername");
    }
    int rc = name == NULL ? -1 : PyDict_SetItem(extra, key, name);
    Py_XDECREF(name);
    return rc;
}

static int
learn_name(StreamObject *s, int (*ask)(int, struct sockaddr *, socklen_t *), small_addr *addr,
           socklen_t *addr_len, PyObject *key)
{
    socklen_t len = sizeof(*addr);
    if (*addr_len > 0 || ask(s->fd, &addr->sa, &len) < 0) {
        return 0;
    }
    if (len > (socklen_t)sizeof(*addr) || !uvolt_sockaddr_known(&addr->sa)) {
        return keep_long_name(s, ask, key);
    }
    *addr_len = len;
    return 0;
}

static int
learn_sockname(StreamObject *s)
{
    return learn_name(s, getsockname, &s->names.sockname, &s->names.sockname_len, s->loop->st->n_sockname);
}

/* -1 with an exception. */
int
stream_learn_names(StreamObject *s)
{
    core_state *st = s->loop->st;
    const small_addr *known = s->names.later ? &s->names.peername : &s->names.sockname;
    if ((!s->names.later && learn_sockname(s) < 0)
        || learn_name(s, getpeername, &s->names.peername, &s->names.peername_len, st->n_peername) < 0) {
        return -1;
    }
    int family = (s->names.later ? s->names.peername_len : s->names.sockname_len) > 0 ? known->sa.sa_family : AF_UNSPEC;
    if (family == AF_INET || family == AF_INET6) {
        int one = 1; /* as asyncio; fails on what is not TCP, which is no harm */
        setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    return 0;
}

/* ---- the socket object ------------------------------------------------------------------- */

/* While a SocketIO reference is counted, sock.close() by the user leaves the descriptor open. */
int
stream_hold_sock(StreamObject *s, PyObject *sock)
{
    core_state *st = s->loop->st;
    PyObject *refs;
    s->sock = Py_NewRef(sock); /* whatever happens: only close_handle() may give it up */
    int found = PyObject_GetOptionalAttr(sock, st->n__io_refs, &refs);
    if (found > 0) {
        PyObject *one = PyLong_FromLong(1);
        PyObject *more = one == NULL ? NULL : PyNumber_Add(refs, one);
        found = more == NULL ? -1 : PyObject_SetAttr(sock, st->n__io_refs, more);
        Py_XDECREF(one);
        Py_XDECREF(more);
        Py_DECREF(refs);
    }
    return found < 0 ? -1 : 0;
}

/* ---- extra info ---------------------------------------------------------------------------- */

/* The socket object of a connection that has ended and was never asked for one: closed, as asyncio's is. */
static COLD PyObject *
make_closed_sock(StreamObject *s)
{
    int family = s->names.sockname_len > 0   ? s->names.sockname.sa.sa_family
                 : s->names.peername_len > 0 ? s->names.peername.sa.sa_family
                                             : AF_UNIX; /* of which only long names are not there */
    return PyObject_CallMethod(s->loop->st->support, "closed_socket", "i", family);
}

static PyObject *
make_sock(StreamObject *s)
{
    if (s->sock == NULL && s->fd < 0) {
        return make_closed_sock(s);
    }
    if (s->sock == NULL) {
        PyObject *sock =
            PyObject_CallMethod(s->loop->st->support, "socket_from_fd", "i", s->fd);
        if (sock == NULL) {
            return NULL;
        }
        int rc = stream_hold_sock(s, sock);
        Py_DECREF(sock);
        if (rc < 0) {
            return NULL;
        }
    }
    return Py_NewRef(s->sock);
}

/* New reference: the value under `key`, made now if it is one of ours; NULL without an exception if
 * there is none. */
static PyObject *
extra_value(StreamObject *s, PyObject *key)
{
    core_state *st = s->loop->st;
    PyObject *value = NULL, *extra = stream_need_extra(s);
    if (extra == NULL) {
        return NULL;
    }
    value = PyDict_GetItemWithError(extra, key);
    if (value != NULL || PyErr_Occurred() || !PyUnicode_Check(key)) {
        return Py_XNewRef(value);
    }
    if (PyUnicode_Compare(key, st->n_socket) == 0) {
        PyObject *sock = make_sock(s);
        value = sock == NULL || sock == Py_None
                    ? NULL
                    : PyObject_CallMethod(st->support, "transport_socket", "O", sock);
        Py_XDECREF(sock);
    }
    else if (PyUnicode_Compare(key, st->n_sockname) == 0) {
        if (s->names.later && s->fd >= 0 && learn_sockname(s) < 0) {
            return NULL;
        }
        value = s->names.sockname_len == 0 ? Py_NewRef(Py_None) : uvolt_sockaddr_to_py(&s->names.sockname.sa, s->names.sockname_len);
    }
    else if (PyUnicode_Compare(key, st->n_peername) == 0) {
        value = s->names.peername_len == 0 ? Py_NewRef(Py_None) : uvolt_sockaddr_to_py(&s->names.peername.sa, s->names.peername_len);
    }
    if (value != NULL && PyDict_SetItem(extra, key, value) < 0) {
        Py_CLEAR(value);
    }
    return value;
}

PyObject *
stream_get_extra_info(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *name, *fallback;
    if (uvolt_args_extra_info(args, nargs, kwnames, &name, &fallback) < 0) {
        return NULL;
    }
    PyObject *value = extra_value((StreamObject *)op, name);
    if (value == NULL && !PyErr_Occurred()) {
        value = Py_NewRef(fallback);
    }
    return value;
}

/* transport._extra: the whole dict, for the few that read or fill it. */
PyObject *
stream_get_extra(PyObject *op, void *Py_UNUSED(closure))
{
    StreamObject *self = (StreamObject *)op;
    core_state *st = self->loop->st;
    PyObject *names[] = {st->n_socket, st->n_sockname, st->n_peername};
    for (size_t i = 0; i < Py_ARRAY_LENGTH(names); i++) {
        PyObject *value = extra_value(self, names[i]);
        if (value == NULL && PyErr_Occurred()) {
            return NULL;
        }
        Py_XDECREF(value);
    }
    return Py_NewRef(self->extra);
}

/* ---- attributes ---------------------------------------------------------------------------- */

PyObject *
stream_repr(PyObject *op)
{
    return PyObject_CallMethod(((StreamObject *)op)->loop->st->support, "transport_repr", "O", op);
}

PyObject *
stream_get_sock(PyObject *op, void *Py_UNUSED(closure))
{
    StreamObject *self = (StreamObject *)op;
    return self->finished ? Py_NewRef(Py_None) : make_sock(self);
}

PyObject *
stream_get_loop(PyObject *op, void *Py_UNUSED(closure))
{
    return Py_NewRef((PyObject *)((StreamObject *)op)->loop);
}

PyObject *
stream_get_protocol_attr(PyObject *op, void *Py_UNUSED(closure))
{
    return stream_get_protocol(op, NULL);
}

int
stream_set_protocol_attr(PyObject *op, PyObject *value, void *Py_UNUSED(closure))
{
    return stream_set_protocol((StreamObject *)op, value != NULL ? value : Py_None);
}

#define FLAG_GETTER(flag)                                                                          \
    PyObject *stream_get_##flag(PyObject *op, void *Py_UNUSED(closure))                            \
    {                                                                                              \
        return PyBool_FromLong(((StreamObject *)op)->flag);                                        \
    }
FLAG_GETTER(closing)
FLAG_GETTER(paused)
FLAG_GETTER(protocol_paused)
FLAG_GETTER(eof_sent)

PyObject *
stream_get_compatible(PyObject *Py_UNUSED(op), void *Py_UNUSED(closure))
{
    Py_RETURN_TRUE;
}

PyObject *
stream_get_sendfile_mode(PyObject *op, void *Py_UNUSED(closure))
{
    return PyObject_GetAttrString(((StreamObject *)op)->loop->st->support, "SENDFILE_MODE");
}

