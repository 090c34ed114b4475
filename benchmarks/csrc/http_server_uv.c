/* A thin HTTP/1.1 server in plain C on libuv: the limit for the responder cases, and the peer of the HTTP clients,
 * so that the server side of a client's measurement is not Python.
 *
 *   http_server_uv PATH=FILE [PATH=FILE...]      each FILE holds one whole response, head and body
 *
 * Keep-alive and pipelining; a request body of Content-Length bytes is read and dropped; an unknown path closes the
 * connection. Prints {"port": ..., "pid": ...} when it listens. Ends with its parent, or by SIGTERM.
 */
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

enum { ROUTES_MAX = 32, HEAD_MAX = 64 * 1024 };

typedef struct {
    const char *path;
    char *data;
    size_t size;
} Route;

typedef struct {
    uv_tcp_t tcp;
    size_t held;     /* bytes of an incomplete head in `head` */
    size_t body;     /* bytes of a request body still to be dropped */
    char head[HEAD_MAX + 1];
} Client;

static Route routes[ROUTES_MAX];
static int route_count;
static char receive_buffer[256 * 1024];

static void check(int err, const char *what)
{
    if (err < 0) {
        fprintf(stderr, "http_server_uv: %s: %s\n", what, uv_strerror(err));
        exit(1);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(receive_buffer, sizeof receive_buffer);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void drop(Client *c)
{
    if (!uv_is_closing((uv_handle_t *)&c->tcp))
        uv_close((uv_handle_t *)&c->tcp, on_closed);
}

static void on_written(uv_write_t *req, int status)
{
    if (status < 0)
        drop((Client *)req->handle);
    free(req);
}

/* The data outlives the process's connections, so what is not taken at once is queued without a copy. */
static void respond(Client *c, const Route *route)
{
    uv_buf_t out = uv_buf_init(route->data, (unsigned)route->size);
    int sent = uv_try_write((uv_stream_t *)&c->tcp, &out, 1);
    if (sent < 0)
        sent = 0;
    if ((size_t)sent < route->size) {
        uv_write_t *req = malloc(sizeof *req);
        if (req == NULL)
            check(UV_ENOMEM, "write");
        out = uv_buf_init(route->data + sent, (unsigned)(route->size - (size_t)sent));
        if (uv_write(req, (uv_stream_t *)&c->tcp, &out, 1, on_written) < 0) {
            free(req);
            drop(c);
        }
    }
}

static const Route *find_route(const char *head)
{
    const char *path = strchr(head, ' ');
    if (path == NULL)
        return NULL;
    path++;
    for (int i = 0; i < route_count; i++) {
        size_t n = strlen(routes[i].path);
        if (strncmp(path, routes[i].path, n) == 0 && (path[n] == ' ' || path[n] == '?'))
            return &routes[i];
    }
    return NULL;
}

/* Answers the requests that are complete in data[0..n); returns how many bytes they took, or -1. */
static ssize_t take_requests(Client *c, char *data, size_t n)
{
    size_t used = 0;
    while (used < n) {
        if (c->body) {
            size_t skip = n - used < c->body ? n - used : c->body;
            c->body -= skip;
            used += skip;
            continue;
        }
        char *end = memmem(data + used, n - used, "\r\n\r\n", 4);
        if (end == NULL)
            break;
        end[2] = 0;
        const Route *route = find_route(data + used);
        char *length = strcasestr(data + used, "\r\ncontent-length:");
        if (route == NULL)
            return -1;
        if (length != NULL)
            c->body = strtoul(length + 17, NULL, 10);
        used = (size_t)(end + 4 - data);
        respond(c, route);
    }
    return (ssize_t)used;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    Client *c = (Client *)stream;
    if (n < 0) {
        drop(c);
        return;
    }
    if (c->held == 0) {
        ssize_t used = take_requests(c, buf->base, (size_t)n);
        size_t rest = used < 0 ? HEAD_MAX + 1 : (size_t)(n - used);
        if (rest > HEAD_MAX) {
            drop(c);
            return;
        }
        memcpy(c->head, buf->base + used, rest);
        c->held = rest;
        return;
    }
    if (c->held + (size_t)n > HEAD_MAX) {
        drop(c);
        return;
    }
    memcpy(c->head + c->held, buf->base, (size_t)n);
    c->held += (size_t)n;
    ssize_t used = take_requests(c, c->head, c->held);
    if (used < 0) {
        drop(c);
        return;
    }
    c->held -= (size_t)used;
    memmove(c->head, c->head + used, c->held);
}

static void on_connection(uv_stream_t *server, int status)
{
    check(status, "accept");
    Client *c = calloc(1, sizeof *c);
    if (c == NULL)
        check(UV_ENOMEM, "accept");
    check(uv_tcp_init(server->loop, &c->tcp), "tcp");
    check(uv_accept(server, (uv_stream_t *)&c->tcp), "accept");
    uv_tcp_nodelay(&c->tcp, 1);
    check(uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read), "read");
}

static void add_route(char *spec)
{
    char *file = strchr(spec, '=');
    FILE *f;
    if (file == NULL || route_count == ROUTES_MAX) {
        fprintf(stderr, "http_server_uv: PATH=FILE expected\n");
        exit(2);
    }
    *file++ = 0;
    Route *r = &routes[route_count++];
    r->path = spec;
    f = fopen(file, "rb");
    if (f == NULL || fseek(f, 0, SEEK_END) != 0) {
        perror(file);
        exit(1);
    }
    r->size = (size_t)ftell(f);
    rewind(f);
    r->data = malloc(r->size);
    if (r->data == NULL || fread(r->data, 1, r->size, f) != r->size) {
        perror(file);
        exit(1);
    }
    fclose(f);
}

int main(int argc, char **argv)
{
    uv_tcp_t server;
    struct sockaddr_in addr;
    struct rlimit limit;
    int len = sizeof addr;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    for (int i = 1; i < argc; i++)
        add_route(argv[i]);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
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
