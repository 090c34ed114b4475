/* url.c - an absolute http or https URL, taken apart, and whether yarl would leave it as it is.
 *
 * The splitting is RFC 3986's and urllib's. What makes a URL canonical was measured on yarl 1.25.1
 * byte by byte; tests/proto/test_url.py compares the two on generated URLs. */
#include "proto/url.h"

#include <string.h>

#include "base/compiler.h"
#include "proto/chars.h"

#define LABEL_MAX 63
#define HOST_MAX 253

static url_span
span(size_t at, size_t end)
{
    return (url_span){(uint32_t)at, (uint32_t)(end - at)};
}

/* The first of up to three bytes from `at` on; n if there is none. */
static size_t
find(const char *s, size_t at, size_t n, char a, char b, char c)
{
    while (at < n && s[at] != a && s[at] != b && s[at] != c) {
        at++;
    }
    return at;
}

/* A dotted quad as inet_ntop() writes it. */
static int
is_ipv4(const char *s, size_t n)
{
    const char *end = s + n;
    for (int part = 0; part < 4; part++) {
        const char *start = s;
        unsigned value = 0;
        while (s < end && *s >= '0' && *s <= '9' && s - start < 3) {
            value = 10 * value + (unsigned)(*s++ - '0');
        }
        if (s == start || value > 255 || (*start == '0' && s - start > 1)) {
            return 0;
        }
        if (part < 3 && (s == end || *s++ != '.')) {
            return 0;
        }
    }
    return s == end;
}

/* A name that means itself to everybody. One whose last label begins with a digit may be an address
 * to somebody (127.1, 0x7f000001), and one with xn-- a mistake. */
static int
host_is_plain(const char *s, size_t n)
{
    size_t label = 0;
    if (n > HOST_MAX) {
        return 0;
    }
    for (size_t i = 0; i <= n; i++) {
        if (i < n && s[i] != '.') {
            if (!char_is(s[i], CHAR_HOST)) {
                return 0;
            }
            continue;
        }
        size_t len = i - label;
        if (len == 0 || len > LABEL_MAX || s[label] == '-' || s[i - 1] == '-' ||
            (len >= 4 && memcmp(s + label, "xn--", 4) == 0)) {
            return 0;
        }
        if (i == n && s[label] >= '0' && s[label] <= '9') {
            return is_ipv4(s, n);
        }
        label = i + 1;
    }
    return 1;
}

/* Whether requoting leaves %XX alone: upper case, and a byte that may not stand for itself there. */
static int
escape_is_kept(const char *s, size_t left, int class)
{
    if (left < 3 || !char_is(s[1], CHAR_HEX) || !char_is(s[2], CHAR_HEX) || s[1] >= 'a' ||
        s[2] >= 'a') {
        return 0;
    }
    char c = (char)(char_hex(s[1]) << 4 | char_hex(s[2]));
    if (class == CHAR_QUERY) { /* where these separate */
        return !char_is(c, CHAR_QUERY) || c == '+' || c == '&' || c == ';' || c == '=';
    }
    return !char_is(c, CHAR_PATH) || c == '+' || c == '/';
}

static int
quoting_is_kept(const char *s, url_span part, int class)
{
    const char *p = s + part.at, *end = p + part.len;
    while (p < end) {
        if (LIKELY(char_is(*p, class))) {
            p++;
        }
        else if (*p == '%' && escape_is_kept(p, (size_t)(end - p), class)) {
            p += 3;
        }
        else {
            return 0;
        }
    }
    return 1;
}

/* Whether a segment is "." or "..", which yarl resolves. */
static int
has_dot_segment(const char *s, url_span path)
{
    const char *p = s + path.at, *end = p + path.len;
    while ((p = memchr(p, '/', (size_t)(end - p))) != NULL) {
        p++;
        const char *q = p;
        while (q < end && *q == '.') {
            q++;
        }
        if (q - p >= 1 && q - p <= 2 && (q == end || *q == '/')) {
            return 1;
        }
    }
    return 0;
}

/* "http://" or "https://" in any case. Returns where the authority begins, 0 if it is neither. */
static size_t
split_scheme(url_parts *u, const char *s, size_t n)
{
    if (n < 7 || !char_equal(s, "http", 4)) {
        return 0;
    }
    u->https = (s[4] | 0x20) == 's';
    size_t len = 4 + u->https;
    if (n < len + 3 || memcmp(s + len, "://", 3) != 0) {
        return 0;
    }
    u->scheme = span(0, len);
    return len + 3;
}

/* Digits. 0 or -1. */
static int
split_port(url_parts *u, const char *s, size_t at, size_t end)
{
    unsigned value = 0;
    if (end - at > 5) {
        return -1;
    }
    for (size_t i = at; i < end; i++) {
        if (s[i] < '0' || s[i] > '9') {
            return -1;
        }
        value = 10 * value + (unsigned)(s[i] - '0');
    }
    if (value > UINT16_MAX) {
        return -1;
    }
    if (end > at) {
        u->has_port = 1;
        u->port = (uint16_t)value;
    }
    /* Behind a colon there is a number, written as everybody writes it. */
    u->canonical &= end > at && s[at] != '0';
    return 0;
}

static void
split_userinfo(url_parts *u, const char *s, size_t at, size_t end)
{
    size_t colon = find(s, at, end, ':', ':', ':');
    u->canonical = 0;
    u->has_user = 1;
    u->user = span(at, colon);
    if (colon < end) {
        u->has_password = 1;
        u->password = span(colon + 1, end);
    }
}

/* "user:password@host:port". 0 or -1. */
static int
split_authority(url_parts *u, const char *s, size_t at, size_t end)
{
    for (size_t i = end; i > at; i--) {
        if (s[i - 1] == '@') {
            split_userinfo(u, s, at, i - 1);
            at = i;
            break;
        }
    }
    size_t stop;
    if (at < end && s[at] == '[') {
        size_t close = find(s, at, end, ']', ']', ']');
        if (close == end) {
            return -1;
        }
        u->ipv6 = 1;
        u->canonical = 0;
        u->host = span(at + 1, close);
        stop = close + 1;
        if (stop < end && s[stop] != ':') {
            return -1;
        }
    }
    else {
        stop = find(s, at, end, ':', ':', ':');
        u->host = span(at, stop);
        u->canonical &= (unsigned)host_is_plain(s + at, stop - at);
    }
    if (u->host.len == 0) {
        return -1;
    }
    u->port = u->https ? 443 : 80;
    int rc = stop < end ? split_port(u, s, stop + 1, end) : 0;
    u->default_port = u->port == (u->https ? 443 : 80);
    return rc;
}

int
url_split(url_parts *u, const char *s, size_t n)
{
    memset(u, 0, sizeof(*u));
    size_t at = n < UINT32_MAX ? split_scheme(u, s, n) : 0;
    if (at == 0) {
        return -1;
    }
    u->canonical = memcmp(s, u->https ? "https" : "http", 4 + u->https) == 0;
    size_t path = find(s, at, n, '/', '?', '#');
    if (split_authority(u, s, at, path) < 0) {
        return -1;
    }
    size_t end = find(s, path, n, '?', '#', '#');
    u->path = span(path, end);
    u->slash = u->path.len == 0;
    if (end < n && s[end] == '?') {
        size_t query = end + 1;
        end = find(s, query, n, '#', '#', '#');
        u->has_query = 1;
        u->query = span(query, end);
        u->canonical &= u->query.len != 0; /* yarl drops a "?" that nothing follows */
    }
    u->target = span(path, end);
    if (end < n) {
        u->has_fragment = 1;
        u->fragment = span(end + 1, n);
        for (size_t i = end + 1; i < n; i++) { /* not sent, but no reason to hide anything there */
            u->canonical &= (unsigned)char_is(s[i], CHAR_VISIBLE);
        }
    }
    u->canonical = u->canonical && quoting_is_kept(s, u->path, CHAR_PATH) &&
                   quoting_is_kept(s, u->query, CHAR_QUERY) && !has_dot_segment(s, u->path);
    return 0;
}
