/* The limit for the echo cases: an echo server in plain C on libuv, with nothing that a server could leave out.
 *
 *   echo_server_uv [-b BYTES_OF_RECEIVE_BUFFER]
 *
 * One thread, one receive buffer for all connections; what was read is sent at once, what the kernel does not
 * take is copied and queued.
 */
#include "server_uv.h"

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void drop(uv_stream_t *stream)
{
    if (!uv_is_closing((uv_handle_t *)stream))
        uv_close((uv_handle_t *)stream, on_closed);
}

static void on_written(uv_write_t *req, int status)
{
    if (status < 0)
        drop(req->handle);
    free(req);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    if (n < 0)
        drop(stream);
    else if (n > 0)
        check(send_copy(stream, buf->base, (size_t)n, on_written), "write");
}

static void on_connection(uv_stream_t *server, int status)
{
    uv_tcp_t *client = need(malloc(sizeof *client));
    accept_client(server, status, client, on_read);
}

int main(int argc, char **argv)
{
    int opt;
    while ((opt = getopt(argc, argv, "b:")) != -1) {
        if (opt != 'b')
            return 2;
        receive_size = strtoul(optarg, NULL, 10);
    }
    return serve(on_connection);
}
