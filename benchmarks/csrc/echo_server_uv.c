/* The limit for the echo cases: an echo server in plain C on libuv, with nothing that a server could leave out.
 *
 * One thread, one receive buffer for all connections; what was read is sent at once, what the kernel does not
 * take is copied and queued. Prints {"port": ..., "pid": ...} when it listens. Ends with its parent, or by SIGTERM.
 *
 *   echo_server_uv [-b BYTES_OF_RECEIVE_BUFFER]
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

typedef struct {
    uv_write_t req;
    char data[];
} Pending;

static char *receive_buffer;
static size_t receive_size = 256 * 1024;

static void check(int err, const char *what)
{
    if (err < 0) {
        fprintf(stderr, "echo_server_uv: %s: %s\n", what, uv_strerror(err));
        exit(1);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(receive_buffer, (unsigned)receive_size);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void on_written(uv_write_t *req, int status)
{
    if (status < 0 && !uv_is_closing((uv_handle_t *)req->handle))
        uv_close((uv_handle_t *)req->handle, on_closed);
    free(req);
}

static void send_rest(uv_stream_t *stream, const char *data, size_t n)
{
    Pending *p = malloc(sizeof *p + n);
    if (p == NULL)
        check(UV_ENOMEM, "write");
    memcpy(p->data, data, n);
    uv_buf_t buf = uv_buf_init(p->data, (unsigned)n);
    check(uv_write(&p->req, stream, &buf, 1, on_written), "write");
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    if (n < 0) {
        if (!uv_is_closing((uv_handle_t *)stream))
            uv_close((uv_handle_t *)stream, on_closed);
        return;
    }
    if (n == 0)
        return;
    uv_buf_t out = uv_buf_init(buf->base, (unsigned)n);
    int sent = uv_try_write(stream, &out, 1);
    if (sent < 0)
        sent = 0; /* queued writes stand before this one, or the kernel's buffer is full */
    if (sent < n)
        send_rest(stream, buf->base + sent, (size_t)(n - sent));
}

static void on_connection(uv_stream_t *server, int status)
{
    check(status, "accept");
    uv_tcp_t *client = malloc(sizeof *client);
    if (client == NULL)
        check(UV_ENOMEM, "accept");
    check(uv_tcp_init(server->loop, client), "tcp");
    check(uv_accept(server, (uv_stream_t *)client), "accept");
    uv_tcp_nodelay(client, 1);
    check(uv_read_start((uv_stream_t *)client, on_alloc, on_read), "read");
}

int main(int argc, char **argv)
{
    uv_tcp_t server;
    struct sockaddr_in addr;
    struct rlimit limit;
    int len = sizeof addr, opt;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    while ((opt = getopt(argc, argv, "b:")) != -1) {
        if (opt != 'b')
            return 2;
        receive_size = strtoul(optarg, NULL, 10);
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    receive_buffer = malloc(receive_size);
    if (receive_buffer == NULL)
        return 1;
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
