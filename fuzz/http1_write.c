/* http1_write.c - a request of any bytes: as many lines as were asked for, or an error and nothing.
 *
 * Input: ceiling, and then texts that end in LF LF: method, target, and names and values. */
#include "fuzz.h"

#include "proto/http1_write.h"

/* The next text of the input, of exact size. */
static char *
next(const uint8_t **data, size_t *size, size_t *n)
{
    size_t i = 0;
    while (i + 1 < *size && !((*data)[i] == '\n' && (*data)[i + 1] == '\n')) {
        i++;
    }
    int found = i + 1 < *size;
    *n = found ? i : *size;
    char *text = exactly(*data, *n);
    *data += *n + (found ? 2 : 0);
    *size -= *n + (found ? 2 : 0);
    return text;
}

static size_t
lines(const buf *b)
{
    size_t n = 0;
    for (size_t i = 0; i < b->len; i++) {
        CHECK(b->data[i] != '\0' && (b->data[i] != '\r' || (i + 1 < b->len && b->data[i + 1] == '\n')));
        CHECK(b->data[i] != '\n' || (i > 0 && b->data[i - 1] == '\r'));
        n += b->data[i] == '\n';
    }
    return n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    buf b;
    size_t ceiling = data[0] < 128 ? 1u << 16 : data[0], written = 0, n, m;
    data++, size--;
    buf_init(&b, ceiling);
    for (int first = 1; size > 0; first = 0) {
        char *a = next(&data, &size, &n), *c = next(&data, &size, &m);
        size_t before = b.len;
        int rc = first ? http1_write_request(&b, a, n, c, m, (int)(n & 1))
                       : http1_write_field(&b, a, n, c, m);
        CHECK(rc <= 0 && b.len <= ceiling);
        CHECK(rc == 0 || b.len == before);
        CHECK(rc != 0 || http1_check_token(a, n, NULL) == 0);
        CHECK(rc == 0 || rc == BUF_FULL || http1_check_token(a, n, NULL) < 0 ||
              (first ? http1_check_target(c, m, NULL) : http1_check_value(c, m, NULL)) < 0);
        written += rc == 0;
        free(a);
        free(c);
    }
    written += http1_write_end(&b) == 0;
    CHECK(lines(&b) == written);
    buf_free(&b);
    return 0;
}
