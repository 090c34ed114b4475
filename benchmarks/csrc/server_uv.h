/* What the limit servers share: a listening socket of 127.0.0.1, one receive buffer for all connections, and how
 * they start and end. Each prints {"port": ..., "pid": ...} when it listens, and ends with its parent, or by SIGTERM.
 */
#ifndef BENCH_SERVER_UV_H
#define BENCH_SERVER_UV_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

static char *receive_buffer;
static size_t receive_size = 256 * 1024;

static void check(int err, const char *what)
{
    if (err < 0) {
        fprintf(stderr, "%s: %s\n", what, uv_strerror(err));
        exit(1);
    }
}

static void *need(void *memory)
{
    if (memory == NULL)
        check(UV_ENOMEM, "malloc");
    return memory;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(receive_buffer, (unsigned)receive_size);
}

/* Takes the connection that waits into `client`, which is at the start of what its callbacks want to know. */
static void accept_client(uv_stream_t *server, int status, uv_tcp_t *client, uv_read_cb on_read)
{
    check(status, "accept");
    check(uv_tcp_init(server->loop, client), "tcp");
    check(uv_accept(server, (uv_stream_t *)client), "accept");
    uv_tcp_nodelay(client, 1);
    check(uv_read_start((uv_stream_t *)client, on_alloc, on_read), "read");
}

typedef struct {
    uv_write_t req;
    char data[];
} Pending;

/* Sends at once; what the kernel does not take is copied and queued, for `on_written` to free. 0 or an error. */
static inline int send_copy(uv_stream_t *stream, const char *data, size_t n, uv_write_cb on_written)
{
    uv_buf_t buf = uv_buf_init((char *)data, (unsigned)n);
    int sent = uv_try_write(stream, &buf, 1);
    if (sent < 0)
        sent = 0; /* queued writes stand before this one, or the kernel's buffer is full */
    if ((size_t)sent == n)
        return 0;
    Pending *p = need(malloc(sizeof *p + n));
    memcpy(p->data, data + sent, n - (size_t)sent);
    buf = uv_buf_init(p->data, (unsigned)(n - (size_t)sent));
    int err = uv_write(&p->req, stream, &buf, 1, on_written);
    if (err < 0)
        free(p);
    return err;
}

/* Listens, says so, and serves until the end. */
static int serve(uv_connection_cb on_connection)
{
    uv_tcp_t server;
    struct sockaddr_in addr;
    struct rlimit limit;
    int len = sizeof addr;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    receive_buffer = need(malloc(receive_size));
    uv_loop_t *loop = uv_default_loop();
    check(uv_tcp_init(loop, &server), "tcp");
    check(uv_ip4_addr("127.0.0.1", 0, &addr), "address");
    check(uv_tcp_bind(&server, (struct sockaddr *)&addr, 0), "bind");
    check(uv_listen((uv_stream_t *)&server, 4096, on_connection), "listen");
    check(uv_tcp_getsockname(&server, (struct sockaddr *)&addr, &len), "getsockname");
    printf("{\"port\": %d, \"pid\": %d}\n", ntohs(addr.sin_port), (int)getpid());
    fflush(stdout);
    return uv_run(loop, UV_RUN_DEFAULT);
}

#endif
