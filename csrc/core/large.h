/* large.h - large bytes objects whose memory is used again.
 *
 * malloc gives the memory of a large object back to the system and gets it anew for the next, and the kernel clears
 * each of its pages when it is touched: for 1 MiB that takes as long as receiving it. So who gives such objects to the
 * program keeps a reference beside its own: when the program has let go of one, it becomes the next of that size.
 * Bounded in number and bytes; given up after a second or two in which it was of no use. Threads: the loop's. */
#ifndef UVOLT_CORE_LARGE_H
#define UVOLT_CORE_LARGE_H

#include "core/loop.h"

#define LARGE_MIN (64 << 10) /* bytes; smaller ones stay with malloc, in parts of its heap that are reused */

/* An object of n bytes that nobody has any more, to be written to. New reference, the only one; or NULL without an
 * exception: there is none. */
PyObject *large_take(LoopObject *loop, Py_ssize_t n);

/* The program is going to be given `bytes`, which was made by whoever calls. No effect if it is small. */
void large_keep(LoopObject *loop, PyObject *bytes);

void large_free(LoopObject *loop); /* for loop.c */

#endif
