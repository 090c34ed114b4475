/* harness.c - csrc/proto/ run by the tests: cases come on stdin, what came of them goes to stdout.
 *
 * A case is: operation, flags, three numbers (32 bits each, this machine's order), length and bytes.
 * An answer is: length and text. Input lies against an unreadable page, before or behind it, and
 * moves between the calls of the parser. With CUT, a case is run whole, byte by byte and cut at every
 * position, and all runs must end in the same text. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/http1.h"
#include "proto/http1_write.h"
#include "proto/url.h"
/* Its functions are static; the tests want each of them. */
#include "proto/http1_lines.c"

enum { OP_RESPONSE = 'r', OP_URL = 'u', OP_WRITE = 'w', OP_SCAN = 's', OP_CHUNK = 'c' };
enum {
    STRICT = 1,
    CUT = 2,
    TO_HEAD = 4,
    NO_EOF = 8, /* the peer does not close */
    FRONT = 16, /* the unreadable page is before the input */
    TEXT = 32,  /* also aiohttp's words for the error */
    TO_CONNECT = 64,
    NO_MEMORY = 128, /* no allocation succeeds */
};
enum { AREA = 1 << 21 };

typedef struct request {
    unsigned char op, flags;
    uint32_t a, b, c, len;
} request;

typedef struct output {
    char *at;
    size_t len, room;
} output;

static char *areas[2];
static int no_memory; /* while it is set */

void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);

/* The linker has all calls of malloc() and realloc() come here (--wrap). */
void *
__wrap_malloc(size_t n)
{
    return no_memory ? NULL : __real_malloc(n);
}

void *
__wrap_realloc(void *p, size_t n)
{
    return no_memory ? NULL : __real_realloc(p, n);
}

static void
die(const char *what)
{
    fprintf(stderr, "harness: %s\n", what);
    exit(2);
}

static void
put(output *o, const char *s, size_t n)
{
    if (o->len + n > o->room) {
        o->room = 2 * (o->len + n) + 4096;
        o->at = realloc(o->at, o->room);
        if (o->at == NULL) {
            die("no memory");
        }
    }
    if (n != 0) {
        memcpy(o->at + o->len, s, n);
        o->len += n;
    }
}

static void __attribute__((format(printf, 2, 3)))
say(output *o, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    put(o, text, (size_t)n);
}

static void
hex(output *o, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char two[2] = {"0123456789abcdef"[(unsigned char)s[i] >> 4],
                       "0123456789abcdef"[(unsigned char)s[i] & 15]};
        put(o, two, 2);
    }
}

/* Room for n bytes against an unreadable page. */
static char *
spot(int which, size_t n, int front)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (areas[which] == NULL) {
        char *area = mmap(NULL, AREA + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (area == MAP_FAILED || mprotect(area + page, AREA, PROT_READ | PROT_WRITE) < 0) {
            die("mmap");
        }
        areas[which] = area + page;
    }
    if (n > AREA) {
        die("case too long");
    }
    return areas[which] + (front ? 0 : AREA - n);
}

static char *
place(int which, const char *s, size_t n, int front)
{
    char *to = spot(which, n, front);
    if (n != 0) {
        memcpy(to, s, n);
    }
    return to;
}

/* ---- responses ---- */

typedef struct run {
    http1_limits limits;
    http1_head head;
    http1_body body;
    int in_body, over, failed;
    unsigned flags;
    output out, data; /* data: hex of the body so far; "|" ends a chunk */
    char *kept;       /* bytes not used yet */
    size_t nkept;
    int area;
} run;

static void
say_head(run *r, const char *base)
{
    const http1_head *h = &r->head;
    say(&r->out, "head %d.%d %d ", h->version_major, h->version_minor, h->status);
    hex(&r->out, base + h->reason, h->reason_len);
    say(&r->out, " cl=%lld%s%s%s%s%s%s ce=%u", (long long)h->content_length,
        h->chunked ? " chunked" : "", h->te_other ? " te" : "", h->keep_alive ? " keep" : "",
        h->upgrade ? " upgrade" : "", h->has_location ? " location" : "",
        h->has_set_cookie ? " cookie" : "", h->ncontent_encoding);
    hex(&r->out, base + h->content_encoding.at, h->content_encoding.len);
    say(&r->out, " ct=");
    hex(&r->out, base + h->content_type.at, h->content_type.len);
    say(&r->out, "\n");
    for (uint32_t i = 0; i < h->nfields; i++) {
        say(&r->out, "field ");
        hex(&r->out, base + h->fields[i].name, h->fields[i].name_len);
        say(&r->out, " ");
        hex(&r->out, base + h->fields[i].value, h->fields[i].value_len);
        say(&r->out, "\n");
    }
}

static void
say_body(run *r, const char *how)
{
    say(&r->out, "body %d ", (int)r->body.kind);
    put(&r->out, r->data.at, r->data.len);
    say(&r->out, " %s\n", how);
    r->data.len = 0;
}

static void
say_error(run *r, int code, const char *what, const char *base, size_t len)
{
    const char *error = r->in_body ? r->body.error : r->head.error;
    say(&r->out, "%s error %d %s: %s\n", what, code, http1_error_kind(code), error);
    if (r->flags & TEXT) {
        char text[HTTP1_ERROR_ROOM];
        size_t n = r->in_body
                       ? http1_body_error_text(&r->body, code, base, len, text, sizeof(text))
                       : http1_head_error_text(&r->head, code, &r->limits, base, len, text,
                                               sizeof(text));
        if (n >= sizeof(text) || strlen(text) != n) {
            die("text");
        }
        say(&r->out, "text ");
        hex(&r->out, text, n);
        say(&r->out, "\n");
    }
    r->over = r->failed = 1;
}

/* Events until the input is used up or the message ends. Returns the bytes used. */
static size_t
feed_body(run *r, const char *base, size_t len)
{
    size_t at = 0, used, n = 0;
    const char *data = NULL;
    for (;;) {
        int rc = http1_body_next(&r->body, base + at, len - at, &used, &data, &n);
        if (used > len - at) {
            die("used more than there was");
        }
        if (rc < 0) {
            say_body(r, "broken");
            say_error(r, rc, "body", base + at, len - at);
            return at;
        }
        at += used;
        if (rc == HTTP1_DATA) {
            if (n == 0 || data < base || data + n > base + len) {
                die("data is not in the input");
            }
            hex(&r->data, data, n);
        }
        else if (rc == HTTP1_CHUNK_END) {
            put(&r->data, "|", 1);
        }
        else {
            if (rc == HTTP1_DONE) {
                say_body(r, "done");
                r->in_body = 0;
                r->over = r->head.status == 101 || (r->head.status >= 200 && !r->head.keep_alive);
                http1_head_reset(&r->head);
            }
            return at;
        }
    }
}

static size_t
feed_head(run *r, char *base, size_t len)
{
    no_memory = (r->flags & NO_MEMORY) != 0;
    int rc = http1_head_parse(&r->head, &r->limits, base, len);
    no_memory = 0;
    if (rc < 0) {
        say_error(r, rc, "head", base, len);
    }
    if (rc <= 0) {
        return 0;
    }
    if ((size_t)rc > len || http1_head_parse(&r->head, &r->limits, base, len) != rc) {
        die("head length");
    }
    say_head(r, base);
    http1_body_init(&r->body, &r->head, &r->limits,
                    (r->flags & TO_HEAD ? HTTP1_TO_HEAD : 0) |
                        (r->flags & TO_CONNECT ? HTTP1_TO_CONNECT : 0));
    r->in_body = 1;
    return (size_t)rc;
}

/* More input. */
static void
feed(run *r, const char *s, size_t n)
{
    char *base = spot(r->area ^= 1, r->nkept + n, r->flags & FRONT);
    if (r->nkept != 0) {
        memmove(base, r->kept, r->nkept);
    }
    if (n != 0) {
        memcpy(base + r->nkept, s, n);
    }
    size_t len = r->nkept + n;
    while (!r->over) {
        int was_body = r->in_body;
        size_t used = was_body ? feed_body(r, base, len) : feed_head(r, base, len);
        base += used;
        len -= used;
        if (was_body == r->in_body) { /* nothing was completed */
            break;
        }
    }
    r->kept = base;
    r->nkept = len;
}

static void
finish(run *r)
{
    if (!r->over && r->in_body) {
        if (r->flags & NO_EOF) {
            say_body(r, "open");
        }
        else {
            int rc = http1_body_eof(&r->body);
            say_body(r, rc == 1 ? "eof" : "short");
            if (rc < 0) {
                say_error(r, rc, "body", "", 0);
            }
        }
    }
    else if (!r->over) {
        say(&r->out, r->nkept != 0 ? "head short\n" : "");
    }
    say(&r->out, "rest %zu\n", r->over && !r->failed ? r->nkept : 0);
}

static void
start(run *r, const request *q)
{
    memset(r, 0, sizeof(*r));
    r->limits = (http1_limits){q->a, q->b, q->c, !(q->flags & STRICT), 0};
    r->flags = q->flags;
    r->kept = (char *)(uintptr_t) "";
    http1_head_init(&r->head);
    put(&r->out, "", 0);
}

static void
end(run *r)
{
    http1_head_free(&r->head);
    free(r->out.at);
    free(r->data.at);
}

/* Error texts show as much of the line as there is, so only whole runs have them compared. */
static void
compare(const request *q, const char *s, const run *whole, size_t step, size_t cut, output *o)
{
    run r;
    start(&r, q);
    r.flags &= ~(unsigned)TEXT;
    if (step != 0) {
        for (size_t i = 0; i < q->len; i += step) {
            feed(&r, s + i, q->len - i < step ? q->len - i : step);
        }
    }
    else {
        feed(&r, s, cut);
        feed(&r, s + cut, q->len - cut);
    }
    finish(&r);
    if (r.out.len != whole->out.len || memcmp(r.out.at, whole->out.at, r.out.len) != 0) {
        say(o, "CUT step %zu at %zu differs:\n", step, cut);
        put(o, r.out.at, r.out.len);
    }
    end(&r);
}

static void
respond(const request *q, const char *s, output *o)
{
    run r, plain;
    start(&r, q);
    feed(&r, s, q->len);
    finish(&r);
    put(o, r.out.at, r.out.len);
    end(&r);
    if (!(q->flags & CUT)) {
        return;
    }
    start(&plain, q);
    plain.flags &= ~(unsigned)TEXT;
    feed(&plain, s, q->len);
    finish(&plain);
    compare(q, s, &plain, 1, 0, o);
    compare(q, s, &plain, 7, 0, o);
    for (size_t cut = 1; cut < q->len; cut++) {
        compare(q, s, &plain, 0, cut, o);
    }
    end(&plain);
}

/* ---- the rest ---- */

static void
say_span(output *o, const char *name, const char *s, url_span part)
{
    say(o, "%s ", name);
    hex(o, s + part.at, part.len);
    say(o, "\n");
}

static void
split_url(const request *q, const char *s, output *o)
{
    url_parts u;
    s = place(0, s, q->len, q->flags & FRONT);
    if (url_split(&u, s, q->len) < 0) {
        say(o, "no\n");
        return;
    }
    say(o, "flags%s%s%s%s%s%s%s%s%s%s\n", u.https ? " https" : "", u.has_user ? " user" : "",
        u.has_password ? " password" : "", u.has_port ? " port" : "", u.has_query ? " query" : "",
        u.has_fragment ? " fragment" : "", u.ipv6 ? " ipv6" : "", u.slash ? " slash" : "",
        u.default_port ? " default" : "", u.canonical ? " canonical" : "");
    say(o, "port %u\n", u.port);
    say_span(o, "scheme", s, u.scheme);
    say_span(o, "user", s, u.user);
    say_span(o, "password", s, u.password);
    say_span(o, "host", s, u.host);
    say_span(o, "path", s, u.path);
    say_span(o, "query", s, u.query);
    say_span(o, "fragment", s, u.fragment);
    say_span(o, "target", s, u.target);
}

/* The input is: method NUL target NUL (name NUL value NUL)*, or with b the lengths of name and value:
 * a: the ceiling, b: length of the first, c: length of the second; the rest are the third and so on
 * in the same lengths. First pair the request line, further pairs fields. */
static void
write_request(const request *q, const char *s, output *o)
{
    buf b;
    size_t at = 0;
    int rc = 0;
    buf_init(&b, q->a);
    while (at + q->b + q->c <= q->len && rc == 0 && q->b + q->c != 0) {
        size_t bad = 0, before = b.len;
        const char *first = place(0, s + at, q->b, q->flags & FRONT);
        const char *second = place(1, s + at + q->b, q->c, q->flags & FRONT);
        no_memory = (q->flags & NO_MEMORY) != 0;
        rc = at == 0 ? http1_write_request(&b, first, q->b, second, q->c, 1)
                     : http1_write_field(&b, first, q->b, second, q->c);
        no_memory = 0;
        if (rc < 0) {
            int name = http1_check_token(first, q->b, &bad);
            int value = at == 0 ? http1_check_target(second, q->c, &bad)
                                : http1_check_value(second, q->c, &bad);
            say(o, "error %d %d %d %zu\n", rc, name, value, bad);
            if (b.len != before) {
                die("something was written");
            }
        }
        at += q->b + q->c;
    }
    if (rc == 0 && (rc = http1_write_end(&b)) < 0) {
        say(o, "error %d end\n", rc);
    }
    hex(o, b.data, b.len);
    buf_free(&b);
}

static void
scan_all(const request *q, const char *s, output *o)
{
#ifdef SCAN_X86
    int (*const all[])(http1_head *, const http1_limits *, const char *, size_t) = {
        lines_plain, lines_sse, lines_avx2};
    const int can[] = {1, __builtin_cpu_supports("sse4.2"), __builtin_cpu_supports("avx2")};
#else
    int (*const all[])(http1_head *, const http1_limits *, const char *, size_t) = {lines_plain};
    const int can[] = {1};
#endif
    http1_limits l = {q->a, q->b, q->c, 1, 0};
    s = place(0, s, q->len, q->flags & FRONT);
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        if (!can[i]) {
            continue;
        }
        http1_field fields[16] = {0};
        http1_head h = {.fields = fields, .fields_room = 16};
        int rc = all[i](&h, &l, s, q->len);
        say(o, "%d %u %u", rc, h.line, h.nfields);
        for (uint32_t k = 0; k < h.nfields; k++) {
            say(o, " %u %u %u %u", fields[k].name, fields[k].name_len, fields[k].value,
                fields[k].value_len);
        }
        say(o, "\n");
    }
}

static void
chunk_head(const request *q, output *o)
{
    char *out = spot(0, HTTP1_CHUNK_HEAD_MAX, 0);
    size_t n = http1_write_chunk_head(out, (uint64_t)q->a << 32 | q->b);
    put(o, out, n);
}

static int
read_all(void *to, size_t n)
{
    return fread(to, 1, n, stdin) == n;
}

int
main(void)
{
    request q;
    output o = {0};
    char *s = malloc(AREA);
    while (read_all(&q.op, 1) && read_all(&q.flags, 1) && read_all(&q.a, 4) && read_all(&q.b, 4) &&
           read_all(&q.c, 4) && read_all(&q.len, 4)) {
        if (q.len > AREA || !read_all(s, q.len)) {
            die("input");
        }
        o.len = 0;
        put(&o, "", 0);
        switch (q.op) {
        case OP_RESPONSE:
            respond(&q, s, &o);
            break;
        case OP_URL:
            split_url(&q, s, &o);
            break;
        case OP_WRITE:
            write_request(&q, s, &o);
            break;
        case OP_SCAN:
            scan_all(&q, s, &o);
            break;
        case OP_CHUNK:
            chunk_head(&q, &o);
            break;
        default:
            die("operation");
        }
        uint32_t n = (uint32_t)o.len;
        fwrite(&n, 4, 1, stdout);
        fwrite(o.at, 1, o.len, stdout);
    }
    fflush(stdout);
    free(o.at);
    free(s);
    return 0;
}
