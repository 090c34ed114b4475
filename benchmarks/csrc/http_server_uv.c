/* A thin HTTP/1.1 server in plain C on libuv: the limit for the responder cases, and the peer of the HTTP clients,
 * so that the server side of a client's measurement is not Python.
 *
 *   http_server_uv PATH=FILE [PATH=FILE...]                 each FILE holds one whole response, head and body
 *   https_server_uv CERTIFICATE PATH=FILE [PATH=FILE...]    built with WITH_TLS: the same over OpenSSL
 *
 * Keep-alive and pipelining; a request body of Content-Length bytes is read and dropped; an unknown path closes the
 * connection. Over TLS one receive is decrypted by way of two memory BIOs, and what its requests are answered with
 * is sent in one go: two system calls a request beside epoll_wait.
 */
#include "server_uv.h"

#ifdef WITH_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif

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
#ifdef WITH_TLS
    SSL *ssl;        /* has both BIOs */
    BIO *in, *out;
#endif
    char head[HEAD_MAX + 1];
} Client;

static Route routes[ROUTES_MAX];
static int route_count;

static void on_closed(uv_handle_t *handle)
{
#ifdef WITH_TLS
    SSL_free(((Client *)handle)->ssl);
#endif
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

#ifdef WITH_TLS

static void respond(Client *c, const Route *route)
{
    if (SSL_write(c->ssl, route->data, (int)route->size) <= 0)
        drop(c);
}

#else

/* The data outlives the process's connections, so what is not taken at once is queued without a copy. */
static void respond(Client *c, const Route *route)
{
    uv_buf_t out = uv_buf_init(route->data, (unsigned)route->size);
    int sent = uv_try_write((uv_stream_t *)&c->tcp, &out, 1);
    if (sent < 0)
        sent = 0;
    if ((size_t)sent < route->size) {
        uv_write_t *req = need(malloc(sizeof *req));
        out = uv_buf_init(route->data + sent, (unsigned)(route->size - (size_t)sent));
        if (uv_write(req, (uv_stream_t *)&c->tcp, &out, 1, on_written) < 0) {
            free(req);
            drop(c);
        }
    }
}

#endif

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

/* Plaintext of the client's; what is left of a request waits in c->head. */
static void on_data(Client *c, char *data, size_t n)
{
    if (c->held > 0) {
        if (c->held + n > HEAD_MAX) {
            drop(c);
            return;
        }
        memcpy(c->head + c->held, data, n);
        n += c->held;
        data = c->head;
    }
    ssize_t used = take_requests(c, data, n);
    if (used < 0 || n - (size_t)used > HEAD_MAX) {
        drop(c);
        return;
    }
    c->held = n - (size_t)used;
    memmove(c->head, data + used, c->held);
}

#ifdef WITH_TLS

static SSL_CTX *context;
static char plain[64 * 1024];

static void flush(Client *c)
{
    char *data;
    long n = BIO_get_mem_data(c->out, &data);
    if (n > 0 && !uv_is_closing((uv_handle_t *)&c->tcp)
        && send_copy((uv_stream_t *)&c->tcp, data, (size_t)n, on_written) < 0)
        drop(c);
    (void)BIO_reset(c->out);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    Client *c = (Client *)stream;
    if (n <= 0) {
        if (n < 0)
            drop(c);
        return;
    }
    if (BIO_write(c->in, buf->base, (int)n) != n)
        check(UV_ENOMEM, "BIO_write");
    int got = 0;
    /* What is empty need not be asked: SSL_read() would make an error of it first. */
    while ((BIO_pending(c->in) > 0 || SSL_has_pending(c->ssl))
           && (got = SSL_read(c->ssl, plain, sizeof plain)) > 0)
        on_data(c, plain, (size_t)got);
    if (got <= 0 && SSL_get_error(c->ssl, got) != SSL_ERROR_WANT_READ) {
        ERR_clear_error();
        flush(c);
        drop(c);
        return;
    }
    flush(c);
}

static void on_connection(uv_stream_t *server, int status)
{
    Client *c = need(calloc(1, sizeof *c));
    c->ssl = need(SSL_new(context));
    c->in = need(BIO_new(BIO_s_mem()));
    c->out = need(BIO_new(BIO_s_mem()));
    SSL_set_bio(c->ssl, c->in, c->out);
    SSL_set_accept_state(c->ssl);
    accept_client(server, status, &c->tcp, on_read);
}

static void load_certificate(const char *file)
{
    context = need(SSL_CTX_new(TLS_server_method()));
    if (SSL_CTX_use_certificate_chain_file(context, file) != 1
        || SSL_CTX_use_PrivateKey_file(context, file, SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        exit(1);
    }
}

#else

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    if (n < 0)
        drop((Client *)stream);
    else if (n > 0)
        on_data((Client *)stream, buf->base, (size_t)n);
}

static void on_connection(uv_stream_t *server, int status)
{
    Client *c = need(calloc(1, sizeof *c));
    accept_client(server, status, &c->tcp, on_read);
}

#endif

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
    int first = 1;
#ifdef WITH_TLS
    if (argc < 2)
        return 2;
    load_certificate(argv[first++]);
#endif
    for (int i = first; i < argc; i++)
        add_route(argv[i]);
    return serve(on_connection);
}
