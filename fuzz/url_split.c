/* url_split.c - any text as a URL: the pieces lie in it, in order, and put together they are it. */
#include "fuzz.h"

#include "proto/url.h"

static int
inside(url_span part, size_t size)
{
    return (size_t)part.at + part.len <= size;
}

static void
check_canonical(const url_parts *u, const char *s)
{
    CHECK(!u->has_user && !u->ipv6 && u->host.len <= 253 && u->port != 0);
    for (uint32_t i = 0; i < u->host.len; i++) {
        char c = s[u->host.at + i];
        CHECK((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_');
    }
    for (uint32_t i = 0; i < u->target.len; i++) {
        CHECK(s[u->target.at + i] > ' ' && s[u->target.at + i] < 0x7f);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char prefix[] = "https://";
    url_parts u;
    char *s = exactly(data, size);
    for (int round = 0;; round++) {
        if (url_split(&u, s, size) == 0) {
            CHECK(inside(u.scheme, size) && inside(u.user, size) && inside(u.password, size));
            CHECK(inside(u.host, size) && inside(u.path, size) && inside(u.query, size));
            CHECK(inside(u.fragment, size) && inside(u.target, size));
            CHECK(u.scheme.len == 4u + u.https && u.host.len > 0 && u.host.at >= u.scheme.len + 3);
            CHECK(u.target.len == u.path.len + (u.has_query ? 1 + u.query.len : 0));
            CHECK(u.slash == (u.path.len == 0) && u.target.at == u.path.at);
            CHECK(!u.has_fragment || u.fragment.at + u.fragment.len == size);
            CHECK(u.has_fragment || u.target.at + u.target.len == size);
            CHECK(u.default_port == (u.port == (u.https ? 443 : 80)));
            if (u.canonical) {
                check_canonical(&u, s);
            }
        }
        if (round == 1) {
            break;
        }
        /* And again behind a scheme, which is hard to guess. */
        char *longer = malloc(size + sizeof(prefix) - 1);
        CHECK(longer != NULL);
        memcpy(longer, prefix, sizeof(prefix) - 1);
        if (size != 0) {
            memcpy(longer + sizeof(prefix) - 1, data, size);
        }
        free(s);
        s = longer;
        size += sizeof(prefix) - 1;
    }
    free(s);
    return 0;
}
