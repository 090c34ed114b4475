/* Closed-loop echo load in plain C on epoll, so that the client side of a measurement is never Python.
 *
 * Each of N connections sends a message of S bytes (the last one a newline), waits until S bytes have come back,
 * and sends the next: for T seconds after a warm-up (longer if none was answered), or for exactly M messages in all.
 * One JSON object is printed.
 * With -P PID the CPU time of the server process is read at both ends of the measured window.
 *
 *   echo_load -p PORT [-h ADDR] [-c N] [-s S] [-t T [-w WARMUP] | -m M] [-P PID] [-i IDLE] [-q FILE] [-BCH]
 *
 *   -i IDLE  further connections that stay silent     -C  churn: a new connection for each message
 *   -H       open all connections, print one line, keep them until standard input ends (memory measurements)
 *   -B       block while no answer is there. Without it, and with -t, the load spins: a load that sleeps makes the
 *            server pay for waking it, which here is several times what an answer costs
 *   -q FILE  send FILE as the message instead and expect an HTTP/1.1 response with a Content-Length
 *
 * Built with -DWITH_TLS it is tls_load: the same over TLS by OpenSSL. The server's certificate is not looked at.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
static SSL_CTX *tls;
#endif

enum { SUB = 32, BUCKETS = 64 * SUB, RECV_SIZE = 256 * 1024, HEAD_MAX = 16 * 1024 };

typedef struct {
    int fd;
    int want_out;   /* EPOLLOUT is armed: the last send was partial */
    int checked;    /* the first echo of this connection was compared byte by byte */
    size_t sent;    /* bytes of the current message sent */
    size_t got;     /* bytes of the current answer received */
    size_t expect;  /* length of the current answer; 0 while an HTTP head is incomplete */
    uint64_t start; /* ns */
    char *head;     /* HTTP: the head so far */
#ifdef WITH_TLS
    SSL *ssl;
#endif
} Conn;

static struct sockaddr_storage addr;
static socklen_t addr_len;
static char *message;
static size_t message_len;
static int http, churn, epfd, stopping;
static char recv_buf[RECV_SIZE];
static uint64_t histogram[BUCKETS], done_count, started_count, answered_count, limit_count, worst;

static void die(const char *what)
{
    fprintf(stderr, "echo_load: %s: %s\n", what, errno ? strerror(errno) : "unexpected");
    exit(1);
}

/* CPU time of this process, user and system together. */
static uint64_t own_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* CPU time of another process, all its threads, user and system together. */
static uint64_t process_cpu_ns(pid_t pid)
{
    struct timespec t;
    clockid_t clock = (clockid_t)((~(uint32_t)pid << 3) | 2u);
    if (clock_gettime(clock, &t) != 0)
        die("clock of the server process");
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void record(uint64_t ns)
{
    uint64_t us10 = ns / 100; /* tenths of a microsecond */
    int exponent = 0;
    if (ns > worst)
        worst = ns;
    while ((us10 >> exponent) >= 2 * SUB)
        exponent++;
    size_t index = (size_t)exponent * SUB + (size_t)(us10 >> exponent);
    histogram[index < BUCKETS ? index : BUCKETS - 1]++;
}

static double percentile_us(double share)
{
    uint64_t total = 0, seen = 0;
    for (int i = 0; i < BUCKETS; i++)
        total += histogram[i];
    if (total == 0)
        return 0;
    for (int i = 0; i < BUCKETS; i++) {
        seen += histogram[i];
        if ((double)seen >= share * (double)total) {
            int exponent = i < 2 * SUB ? 0 : i / SUB - 1;
            uint64_t mantissa = i < 2 * SUB ? (uint64_t)i : (uint64_t)(i - exponent * SUB);
            return (double)((mantissa << exponent) + ((1ull << exponent) >> 1)) / 10.0;
        }
    }
    return (double)worst / 1000.0;
}

#ifdef WITH_TLS
/* What OpenSSL says of a read or write that moved nothing, in the way of recv and send. */
static ssize_t tls_result(Conn *c, int n)
{
    int why = SSL_get_error(c->ssl, n);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
        errno = EAGAIN;
    else if (why != SSL_ERROR_SYSCALL)
        errno = EPROTO;
    return why == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

static ssize_t conn_recv(Conn *c)
{
    ERR_clear_error();
    int n = SSL_read(c->ssl, recv_buf, RECV_SIZE);
    return n > 0 ? n : tls_result(c, n);
}

static ssize_t conn_send(Conn *c, const char *data, size_t len)
{
    ERR_clear_error();
    int n = SSL_write(c->ssl, data, (int)len);
    return n > 0 ? n : tls_result(c, n);
}

/* The handshake, on a socket that still blocks. */
static void conn_open(Conn *c)
{
    ERR_clear_error();
    if ((c->ssl = SSL_new(tls)) == NULL || SSL_set_fd(c->ssl, c->fd) != 1 || SSL_connect(c->ssl) != 1) {
        ERR_print_errors_fp(stderr);
        die("TLS handshake");
    }
}

static void conn_close(Conn *c)
{
    SSL_shutdown(c->ssl);
    SSL_free(c->ssl);
    close(c->fd);
}

static void conn_setup(void)
{
    signal(SIGPIPE, SIG_IGN);
    if ((tls = SSL_CTX_new(TLS_client_method())) == NULL)
        die("SSL_CTX_new");
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(tls, 1);
    SSL_CTX_set_default_read_buffer_len(tls, 128 * 1024);
}
#else
static ssize_t conn_recv(Conn *c)
{
    return recv(c->fd, recv_buf, RECV_SIZE, 0);
}

static ssize_t conn_send(Conn *c, const char *data, size_t len)
{
    return send(c->fd, data, len, MSG_NOSIGNAL);
}

static void conn_open(Conn *c)
{
    (void)c;
}

static void conn_close(Conn *c)
{
    close(c->fd);
}

static void conn_setup(void)
{
}
#endif

/* A connected socket that blocks, 30 seconds at most. */
static int open_socket(void)
{
    struct timeval patience = {.tv_sec = 30};
    int fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;
    if (fd < 0)
        die("socket");
    for (int attempt = 0; connect(fd, (struct sockaddr *)&addr, addr_len) != 0; attempt++) {
        if (errno != EAGAIN && errno != EINTR && errno != ECONNREFUSED)
            die("connect");
        if (attempt == 200)
            die("connect");
        usleep(5000);
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

static void attach(Conn *c)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    c->fd = open_socket();
    c->want_out = 0;
    conn_open(c);
    if (fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0)
        die("fcntl");
    if (epoll_ctl(epfd, EPOLL_CTL_ADD, c->fd, &ev) != 0)
        die("epoll_ctl");
}

static void want_out(Conn *c, int on)
{
    struct epoll_event ev = {.events = EPOLLIN | (on ? EPOLLOUT : 0), .data.ptr = c};
    if (c->want_out == on)
        return;
    c->want_out = on;
    if (epoll_ctl(epfd, EPOLL_CTL_MOD, c->fd, &ev) != 0)
        die("epoll_ctl");
}

static void push(Conn *c)
{
    while (c->sent < message_len) {
        ssize_t n = conn_send(c, message + c->sent, message_len - c->sent);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            want_out(c, 1);
            return;
        }
        if (n < 0)
            die("send");
        c->sent += (size_t)n;
    }
    want_out(c, 0);
}

static void start_message(Conn *c)
{
    if (stopping || (limit_count && started_count == limit_count))
        return;
    started_count++;
    c->sent = c->got = 0;
    c->expect = http ? 0 : message_len;
    c->start = now_ns();
    push(c);
}

/* HTTP: looks for the end of the head in what has come, and sets c->expect from Content-Length. */
static void take_head(Conn *c, const char *data, size_t n)
{
    size_t room = HEAD_MAX - 1 - c->got;
    size_t take = n < room ? n : room;
    if (c->head == NULL && (c->head = malloc(HEAD_MAX)) == NULL)
        die("malloc");
    memcpy(c->head + c->got, data, take);
    c->head[c->got + take] = 0;
    char *end = strstr(c->head, "\r\n\r\n");
    if (end == NULL) {
        if (take == room)
            die("response head too long");
        return;
    }
    char *length = strcasestr(c->head, "\r\ncontent-length:");
    if (strncmp(c->head, "HTTP/1.1 200", 12) != 0 || length == NULL || length > end)
        die("not a 200 response with a Content-Length");
    c->expect = (size_t)(end + 4 - c->head) + strtoul(length + 17, NULL, 10);
}

static void finish_message(Conn *c)
{
    record(now_ns() - c->start);
    done_count++;
    answered_count++;
    if (churn) {
        conn_close(c);
        attach(c);
    }
    start_message(c);
}

/* One read; whether there may be more. */
static int on_readable(Conn *c)
{
    ssize_t n = conn_recv(c);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0) {
        if (n == 0)
            errno = ECONNRESET;
        die("recv");
    }
    if (http && c->expect == 0)
        take_head(c, recv_buf, (size_t)n);
    if (!http && !c->checked) {
        if (c->got + (size_t)n > message_len || memcmp(recv_buf, message + c->got, (size_t)n) != 0)
            die("the echo differs from what was sent");
    }
    c->got += (size_t)n;
    if (c->expect && c->got > c->expect)
        die("more bytes than asked for");
    if (c->got == c->expect) {
        c->checked = 1;
        finish_message(c);
        return 0;
    }
#ifdef WITH_TLS
    return 1; /* OpenSSL may hold more of it, of which epoll knows nothing */
#else
    return 0;
#endif
}

static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void load_message(const char *file)
{
    FILE *f = fopen(file, "rb");
    if (f == NULL)
        die(file);
    message = malloc(HEAD_MAX);
    message_len = message ? fread(message, 1, HEAD_MAX, f) : 0;
    fclose(f);
    if (message_len == 0)
        die(file);
    http = 1;
}

static void make_message(size_t size)
{
    message_len = size;
    message = malloc(size);
    if (message == NULL)
        die("malloc");
    for (size_t i = 0; i < size; i++)
        message[i] = (char)('a' + i % 23);
    message[size - 1] = '\n';
}

static void set_address(const char *host, int port)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&addr;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&addr;
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        addr_len = sizeof *v4;
    } else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        addr_len = sizeof *v6;
    } else {
        die("address");
    }
}

static void handle(const struct epoll_event *event)
{
    Conn *c = event->data.ptr;
    if (event->events & EPOLLOUT)
        push(c);
    if (event->events & ~(uint32_t)EPOLLOUT)
        while (on_readable(c))
            ;
}

/* Takes the answers that are still to come, two seconds at most: a server whose connections are cut in the middle of
 * an answer would have errors to report. */
static void drain(void)
{
    uint64_t deadline = now_ns() + 2000000000u;
    stopping = 1;
    while (answered_count < started_count && now_ns() < deadline) {
        struct epoll_event events[512];
        int n = epoll_wait(epfd, events, 512, 100);
        for (int i = 0; i < n; i++)
            handle(&events[i]);
    }
}

int main(int argc, char **argv)
{
    const char *host = "127.0.0.1", *file = NULL;
    int port = 0, conns = 1, idle = 0, hold = 0, block = 0, opt;
    double seconds = 1, warmup = 0;
    size_t size = 1024;
    pid_t pid = 0;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while ((opt = getopt(argc, argv, "h:p:c:s:t:w:m:P:i:q:BCH")) != -1) {
        switch (opt) {
        case 'h': host = optarg; break;
        case 'p': port = atoi(optarg); break;
        case 'c': conns = atoi(optarg); break;
        case 's': size = strtoul(optarg, NULL, 10); break;
        case 't': seconds = atof(optarg); break;
        case 'w': warmup = atof(optarg); break;
        case 'm': limit_count = strtoull(optarg, NULL, 10); break;
        case 'P': pid = (pid_t)atoi(optarg); break;
        case 'i': idle = atoi(optarg); break;
        case 'q': file = optarg; break;
        case 'B': block = 1; break;
        case 'C': churn = 1; break;
        case 'H': hold = 1; break;
        default: return 2;
        }
    }
    if (port <= 0 || conns < 0 || size == 0) {
        fprintf(stderr, "echo_load: -p PORT is needed\n");
        return 2;
    }
    set_address(host, port);
    raise_file_limit();
    conn_setup();
    if (file != NULL)
        load_message(file);
    else
        make_message(size);
    epfd = epoll_create1(EPOLL_CLOEXEC);
    Conn *all = calloc((size_t)conns + 1, sizeof *all);
    if (epfd < 0 || all == NULL)
        die("set-up");
    for (int i = 0; i < idle; i++)
        open_socket();
    for (int i = 0; i < conns; i++)
        attach(&all[i]);
    if (hold) {
        char c;
        printf("{\"held\": %d}\n", conns + idle);
        fflush(stdout);
        while (read(0, &c, 1) > 0)
            ;
        return 0;
    }

    block |= limit_count > 0;
    uint64_t last_answer = now_ns();
    int measuring = warmup <= 0 || limit_count > 0;
    uint64_t begin = now_ns(), end = begin + (uint64_t)(seconds * 1e9);
    uint64_t switch_at = begin + (uint64_t)(warmup * 1e9);
    uint64_t cpu = pid ? process_cpu_ns(pid) : 0, own = own_cpu_ns();
    for (int i = 0; i < conns; i++)
        start_message(&all[i]);
    for (;;) {
        struct epoll_event events[512];
        int n = epoll_wait(epfd, events, 512, block ? 30000 : 0);
        if (n < 0 && errno != EINTR)
            die("epoll_wait");
        if (n > 0) {
            last_answer = now_ns();
        } else if (now_ns() - last_answer > 29000000000u) {
            errno = ETIMEDOUT;
            die("no answer for 30 seconds");
        }
        for (int i = 0; i < n; i++)
            handle(&events[i]);
        if (limit_count) {
            if (done_count == limit_count)
                break;
            continue;
        }
        uint64_t t = now_ns();
        if (!measuring && t >= switch_at) {
            measuring = 1;
            memset(histogram, 0, sizeof histogram);
            done_count = worst = 0;
            cpu = pid ? process_cpu_ns(pid) : 0;
            own = own_cpu_ns();
            begin = now_ns();
            end = begin + (uint64_t)(seconds * 1e9);
        } else if (measuring && t >= end && done_count > 0) {
            break;
        }
    }
    cpu = pid ? process_cpu_ns(pid) - cpu : 0;
    own = own_cpu_ns() - own;
    double wall = (double)(now_ns() - begin) / 1e9;
    uint64_t requests = done_count, slowest = worst;
    double p50 = percentile_us(0.5), p90 = percentile_us(0.9), p99 = percentile_us(0.99);
    drain();
    printf("{\"requests\": %llu, \"seconds\": %.6f, \"rate\": %.1f, \"server_cpu_ns\": %llu, "
           "\"own_cpu_ns\": %llu, \"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f}\n",
           (unsigned long long)requests, wall, (double)requests / wall, (unsigned long long)cpu, (unsigned long long)own,
           p50, p90, p99, (double)slowest / 1000.0);
    return 0;
}
