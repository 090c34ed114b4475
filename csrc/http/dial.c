/* dial.c - from an address to a connected HTTPConnection; see dial.h.
 * Owns:    the descriptor until a transport has it. Kept by: the hop, which cancels it before it goes.
 * Threads: the loop's.
 * PYCALL:  dial_start (what the connector says), dial_finish (connection_made, errors), on_event. */
#include "http/dial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <unistd.h>

#include "http/connector.h"
#include "http/quick.h"
#include "net/stream.h"

/* ---- is it for us? ------------------------------------------------------------------------- */

/* Members of a ConnectionKey. */
enum { KEY_HOST, KEY_PORT, KEY_IS_SSL, KEY_SSL, KEY_PROXY, KEY_COUNT = 8 };

/* Tests replace socket.socket to keep programs from the network: then sockets are made by Python. */
static int
sockets_are_stock(core_state *st)
{
    PyObject *found = PyDict_GetItemWithError(PyModule_GetDict(st->http->socket_module), st->n_socket);
    PyErr_Clear();
    return found == st->Socket;
}

static int
is_direct(core_state *st, PyObject *connector)
{
    int direct = connector_pool(st, connector) != NULL && ((ConnectorObject *)connector)->direct;
    PyObject *const names[] = {st->http->n__open, st->http->n__connect, st->http->n__resolve_host};
    for (size_t i = 0; direct && i < Py_ARRAY_LENGTH(names); i++) {
        direct = quick_is_stock(connector, names[i], PyTuple_GET_ITEM(st->http->stock_hooks, (Py_ssize_t)i));
    }
    return direct && sockets_are_stock(st);
}

/* ---- the address --------------------------------------------------------------------------- */

/* An IPv4 or IPv6 address in its usual form. 0: it is none. */
static int
parse(dial *d, PyObject *host, long port)
{
    if (!PyUnicode_Check(host) || !PyUnicode_IS_COMPACT_ASCII(host) || port < 0 || port > 65535) {
        return 0;
    }
    const char *text = (const char *)PyUnicode_1BYTE_DATA(host);
    if (strlen(text) != (size_t)PyUnicode_GET_LENGTH(host)) {
        return 0; /* "127.0.0.1\0.example" is no address */
    }
    memset(&d->addr, 0, sizeof d->addr);
    if (inet_pton(AF_INET, text, &d->addr.in4.sin_addr) == 1) {
        d->addr.in4.sin_family = AF_INET;
        d->addr.in4.sin_port = htons((uint16_t)port);
        d->addr_len = sizeof d->addr.in4;
        return 1;
    }
    if (inet_pton(AF_INET6, text, &d->addr.in6.sin6_addr) == 1) {
        d->addr.in6.sin6_family = AF_INET6;
        d->addr.in6.sin6_port = htons((uint16_t)port);
        d->addr_len = sizeof d->addr.in6;
        return 1;
    }
    return 0;
}

/* 1: it is in d->addr; 0: not known, or not the only one; -1 with an exception. PYCALL. */
static int
find_address(dial *d, core_state *st, PyObject *connector, PyObject *key)
{
    PyObject *host = PyTuple_GET_ITEM(key, KEY_HOST), *port = PyTuple_GET_ITEM(key, KEY_PORT);
    long number = PyLong_CheckExact(port) ? PyLong_AsLong(port) : -1;
    PyErr_Clear();
    if (parse(d, host, number)) {
        return 1;
    }
    PyObject *args[] = {connector, host, port};
    PyObject *known = PyObject_VectorcallMethod(st->http->n__known_address, args, Py_ARRAY_LENGTH(args), NULL);
    if (known == NULL) {
        return -1;
    }
    int found = parse(d, known, number);
    Py_DECREF(known);
    return found;
}

static int
is_plain(PyObject *key)
{
    return PyTuple_Check(key) && PyTuple_GET_SIZE(key) == KEY_COUNT && PyTuple_GET_ITEM(key, KEY_IS_SSL) == Py_False
           && PyTuple_GET_ITEM(key, KEY_PROXY) == Py_None;
}

/* ---- the end ------------------------------------------------------------------------------- */

/* The descriptor is the caller's. */
static int
let_go(dial *d)
{
    int fd = d->fd;
    if (d->is_watched) {
        fdpoll_unwatch(d->conn->loop, fd, d);
        d->is_watched = 0;
    }
    if (d->conn != NULL) {
        d->conn->dial = NULL;
    }
    d->conn = NULL;
    d->fd = -1;
    return fd;
}

void
dial_cancel(dial *d)
{
    if (d->conn != NULL) {
        int fd = let_go(d);
        if (fd >= 0) {
            close(fd);
        }
    }
}

void
dial_dropped(dial *d)
{
    dial_cancel(d);
    d->ended(d);
}

/* ClientConnectorError(key, OSError), as the Python way has it. */
static COLD dial_outcome
fail(dial *d, int err)
{
    ConnectionObject *c = d->conn;
    core_state *st = c->loop->st;
    PyObject *address = d->is_late ? uvolt_sockaddr_to_py(&d->addr.sa, d->addr_len) : Py_NewRef(Py_None);
    dial_cancel(d);
    if (address != NULL) {
        PyErr_SetRaisedException(http_error(st, "connect_failed", "(OiN)", c->route->key, err, address));
    }
    return DIAL_ERROR;
}

/* A peer that was asked for as 0.0.0.0 has another address. */
static int
is_any(const small_addr *a)
{
    return a->sa.sa_family == AF_INET ? a->in4.sin_addr.s_addr == htonl(INADDR_ANY)
                                      : IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);
}

static dial_outcome
make_transport(dial *d)
{
    ConnectionObject *c = d->conn;
    stream_names known = {.peername = d->addr, .peername_len = is_any(&d->addr) ? 0 : d->addr_len, .later = 1};
    int fd = let_go(d);
    StreamObject *s = stream_new(c->loop, fd, NULL, (PyObject *)c, NULL, &known);
    if (s == NULL) {
        return DIAL_ERROR;
    }
    stream_begin(s);
    if (UNLIKELY(c->state != CONN_TAKEN)) { /* no memory to tell it; that was reported */
        stream_force_close(s, Py_None);
        http_raise(c->loop->st, "connection_closed");
    }
    Py_DECREF(s);
    return c->state == CONN_TAKEN ? DIAL_MADE : DIAL_ERROR;
}

dial_outcome
dial_finish(dial *d)
{
    return d->err != 0 ? fail(d, d->err) : make_transport(d);
}

/* ---- connecting ---------------------------------------------------------------------------- */

/* 0: connected; EALREADY: not yet; else what it failed with. A connect() behind the first tells how that went. */
static int
attempt(dial *d)
{
    int err;
    do {
        err = connect(d->fd, &d->addr.sa, d->addr_len) < 0 ? errno : 0;
    } while (err == EINTR);
    return err == EISCONN ? 0 : err == EINPROGRESS ? EALREADY : err;
}

static void
on_event(LoopObject *loop, int fd, uint32_t Py_UNUSED(events), void *arg)
{
    dial *d = arg;
    int err = attempt(d);
    if (err != EALREADY) {
        d->err = err;
        fdpoll_unwatch(loop, fd, d);
        d->is_watched = 0;
        d->ended(d);
    }
}

static dial_outcome
wait(dial *d, PyObject *keeper)
{
    LoopObject *loop = d->conn->loop;
    int fd = d->fd, err = fdpoll_watch(loop, fd, 1, on_event, d, keeper);
    if (UNLIKELY(d->conn == NULL)) { /* closed by what a watcher of this number, that was left behind, has run */
        fdpoll_unwatch(loop, fd, d);
        http_raise(loop->st, "connector_closed");
        return DIAL_ERROR;
    }
    if (err < 0) {
        d->is_late = 0;
        return fail(d, -err);
    }
    d->is_watched = 1;
    return DIAL_WAIT;
}

dial_outcome
dial_start(dial *d, ConnectionObject *conn, PyObject *connector, PyObject *keeper, void (*ended)(dial *))
{
    core_state *st = conn->loop->st;
    if (conn->loop->debug || !is_plain(conn->route->key) || !is_direct(st, connector)) {
        return DIAL_NOT;
    }
    int found = find_address(d, st, connector, conn->route->key);
    if (found <= 0) {
        return found < 0 ? DIAL_ERROR : DIAL_NOT;
    }
    if (conn->state != CONN_NEW) { /* by what ran just now */
        http_raise(st, "connector_closed");
        return DIAL_ERROR;
    }
    d->conn = conn;
    d->ended = ended;
    d->err = 0;
    d->is_watched = d->is_late = 0;
    conn->dial = d;
    d->fd = socket(d->addr.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    int err = d->fd < 0 ? errno : attempt(d);
    if (err == EALREADY) { /* within the machine it is connected by now */
        d->is_late = 1;
        err = attempt(d);
    }
    return err == 0 ? make_transport(d) : err == EALREADY ? wait(d, keeper) : fail(d, err);
}
