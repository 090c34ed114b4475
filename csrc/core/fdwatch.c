/* fdwatch.c - add_reader, add_writer and their kin, as Python calls them, and the signal pipe.
 * Owns nothing: the handles are the set's (fdpoll.c). Threads: the loop's. PYCALL: all of it, by fileno(). */
#include <unistd.h>

#include "core/handle.h"
#include "core/loop.h"
#include "runtime/args.h"

/* ---- transports ---------------------------------------------------------------------------- */

static int
raise_in_use(int fd, PyObject *fileobj, PyObject *transport)
{
    PyObject *number = fileobj != NULL ? Py_NewRef(fileobj) : PyLong_FromLong(fd);
    if (number != NULL) {
        PyErr_Format(PyExc_RuntimeError, "File descriptor %R is used by transport %R", number, transport);
        Py_DECREF(number);
    }
    return -1;
}

/* One of our own. -1 with an exception if it goes on using the descriptor. */
static COLD int
check_transport(LoopObject *self, int fd, PyObject *fileobj)
{
    PyObject *transport = Py_NewRef(fdpoll_claimant(self, fd));
    PyObject *r = PyObject_CallMethod(transport, "is_closing", NULL);
    int closing = r == NULL ? -1 : PyObject_IsTrue(r);
    Py_XDECREF(r);
    if (closing == 0) {
        closing = raise_in_use(fd, fileobj, transport);
    }
    Py_DECREF(transport);
    return closing < 0 ? -1 : 0;
}

/* One of asyncio's own Python code. They register themselves in loop._transports, a WeakValueDictionary, whose
 * dict we keep at hand: its methods are Python functions. */
static int
check_python_transports(LoopObject *self, int fd, PyObject *fileobj)
{
    if (UNLIKELY(self->transports_seen != self->transports)) {
        PyObject *data = PyObject_GetAttr(self->transports, self->st->n_data);
        if (data == NULL) {
            return -1;
        }
        Py_XSETREF(self->transports_data, data);
        Py_XSETREF(self->transports_seen, Py_NewRef(self->transports));
    }
    if (LIKELY(PyDict_Check(self->transports_data) && PyDict_Size(self->transports_data) == 0)) {
        return 0;
    }
    PyObject *number = fileobj != NULL ? Py_NewRef(fileobj) : PyLong_FromLong(fd);
    PyObject *r = number == NULL ? NULL
                                 : PyObject_CallMethod(self->st->support, "check_fd_free", "OiO",
                                                       self->transports, fd, number);
    Py_XDECREF(number);
    Py_XDECREF(r);
    return r == NULL ? -1 : 0;
}

/* Is the descriptor free of transports? `fileobj` is what the caller was given, if not the number. */
int
fdwatch_check_free(LoopObject *self, int fd, PyObject *fileobj)
{
    if (UNLIKELY(fdpoll_claimant(self, fd) != NULL)) {
        return check_transport(self, fd, fileobj);
    }
    return self->transports == NULL ? 0 : check_python_transports(self, fd, fileobj);
}

PyObject *
fdwatch_ensure_free(PyObject *op, PyObject *fileobj)
{
    int fd = uvolt_args_fd(fileobj);
    if (fd < 0 || fdwatch_check_free((LoopObject *)op, fd, fileobj) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- readers and writers ------------------------------------------------------------------- */

/* Add or replace the handle for one direction. New reference to the handle. */
static PyObject *
add(LoopObject *self, int fd, int write, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *h = (PyObject *)handle_new(self, args[0], args + 1, nargs - 1, NULL);
    if (h != NULL && fdpoll_set(self, fd, write, h) < 0) {
        Py_CLEAR(h);
    }
    return h;
}

/* The arguments of add_reader() and its kin, and the descriptor; -1 with an exception. */
static int
add_arguments(LoopObject *self, const char *method, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
              call_args *call)
{
    static const char *const names[] = {"fd", "callback"};
    if (uvolt_args_callback(self->st, method, names, 2, args, nargs, kwnames, call) < 0) {
        return -1;
    }
    int fd = uvolt_args_fd(call->args[0]); /* first: fileno() may do anything */
    return fd < 0 || loop_check_closed(self) < 0 ? -1 : fd;
}

static PyObject *
add_public(PyObject *op, const char *method, int write, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    LoopObject *self = (LoopObject *)op;
    call_args call;
    int fd = add_arguments(self, method, args, nargs, kwnames, &call);
    if (fd < 0 || fdwatch_check_free(self, fd, call.args[0]) < 0 || loop_check_closed(self) < 0) {
        return NULL;
    }
    PyObject *h = add(self, fd, write, call.args + 1, call.nargs - 1);
    if (h == NULL) {
        return NULL;
    }
    Py_DECREF(h);
    Py_RETURN_NONE;
}

PyObject *
fdwatch_add_reader(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return add_public(op, "add_reader", 0, args, nargs, kwnames);
}

PyObject *
fdwatch_add_writer(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return add_public(op, "add_writer", 1, args, nargs, kwnames);
}

PyObject *
fdwatch_add_reader_raw(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    call_args call;
    int fd = add_arguments((LoopObject *)op, "_add_reader", args, nargs, NULL, &call);
    return fd < 0 ? NULL : add((LoopObject *)op, fd, 0, args + 1, nargs - 1);
}

PyObject *
fdwatch_add_writer_raw(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    call_args call;
    int fd = add_arguments((LoopObject *)op, "_add_writer", args, nargs, NULL, &call);
    return fd < 0 ? NULL : add((LoopObject *)op, fd, 1, args + 1, nargs - 1);
}

static PyObject *
remove_handle(PyObject *op, PyObject *fileobj, int write, int public)
{
    LoopObject *self = (LoopObject *)op;
    int fd = uvolt_args_fd(fileobj);
    if (fd < 0 || (public && fdwatch_check_free(self, fd, fileobj) < 0)) {
        return NULL;
    }
    return PyBool_FromLong(fdpoll_unset(self, fd, write));
}

PyObject *
fdwatch_remove_reader(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *fileobj = uvolt_args_one("remove_reader", "fd", args, nargs, kwnames);
    return fileobj == NULL ? NULL : remove_handle(op, fileobj, 0, 1);
}

PyObject *
fdwatch_remove_writer(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *fileobj = uvolt_args_one("remove_writer", "fd", args, nargs, kwnames);
    return fileobj == NULL ? NULL : remove_handle(op, fileobj, 1, 1);
}

PyObject *
fdwatch_remove_reader_raw(PyObject *op, PyObject *fileobj)
{
    return remove_handle(op, fileobj, 0, 0);
}

PyObject *
fdwatch_remove_writer_raw(PyObject *op, PyObject *fileobj)
{
    return remove_handle(op, fileobj, 1, 0);
}

/* _watched(fd) -> (reader, writer): handles, calls of sock_*, or None. */
PyObject *
fdwatch_watched(PyObject *op, PyObject *fileobj)
{
    LoopObject *self = (LoopObject *)op;
    int fd = uvolt_args_fd(fileobj);
    if (fd < 0) {
        return NULL;
    }
    fd_entry none = {0}, *entry = (size_t)fd < self->nfds ? &self->fds[fd] : &none;
    return PyTuple_Pack(2, entry->reader != NULL ? entry->reader : Py_None,
                        entry->writer != NULL ? entry->writer : Py_None);
}

/* _watched_fds() -> list of descriptors that have a reader or a writer. */
PyObject *
fdwatch_watched_fds(PyObject *op, PyObject *Py_UNUSED(unused))
{
    LoopObject *self = (LoopObject *)op;
    PyObject *list = PyList_New(0);
    for (size_t fd = 0; list != NULL && fd < self->nfds; fd++) {
        if (self->fds[fd].reader != NULL || self->fds[fd].writer != NULL) {
            PyObject *number = PyLong_FromSize_t(fd);
            if (number == NULL || PyList_Append(list, number) < 0) {
                Py_CLEAR(list);
            }
            Py_XDECREF(number);
        }
    }
    return list;
}

/* ---- the signal pipe ----------------------------------------------------------------------- */

/* A byte arrived from signal.set_wakeup_fd: run Python's own handlers (their exceptions leave the
 * loop, as on asyncio), then the loop's. PYCALL. */
static void
on_signal_bytes(LoopObject *loop, int fd, uint32_t Py_UNUSED(events), void *Py_UNUSED(arg))
{
    char buf[512];
    ssize_t n = read(fd, buf, sizeof(buf));
    if (PyErr_CheckSignals() < 0) {
        Py_XSETREF(loop->raised, PyErr_GetRaisedException());
        uv_stop(&loop->uv);
    }
    if (n > 0) {
        PyObject *saved = PyErr_GetRaisedException();
        PyObject *r = PyObject_CallMethod((PyObject *)loop, "_signals_arrived", "y#", buf,
                                          (Py_ssize_t)n);
        if (r == NULL) {
            loop_error(loop, "Error while handling a signal", NULL, NULL);
        }
        Py_XDECREF(r);
        Py_XDECREF(saved);
    }
}

PyObject *
fdwatch_watch_signals(PyObject *op, PyObject *fd_object)
{
    int fd = uvolt_args_fd(fd_object);
    if (fd < 0 || loop_check_closed((LoopObject *)op) < 0) {
        return NULL;
    }
    int err = fdpoll_watch((LoopObject *)op, fd, 0, on_signal_bytes, NULL, NULL);
    if (err < 0) {
        return uvolt_raise_uv(err);
    }
    Py_RETURN_NONE;
}

PyObject *
fdwatch_unwatch_signals(PyObject *op, PyObject *fd_object)
{
    int fd = uvolt_args_fd(fd_object);
    if (fd < 0) {
        return NULL;
    }
    fdpoll_unwatch((LoopObject *)op, fd, NULL);
    Py_RETURN_NONE;
}

