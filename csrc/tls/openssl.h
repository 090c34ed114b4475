/* openssl.h - the OpenSSL that the interpreter's own ssl module uses: its functions, and the SSL behind an
 * ssl.SSLObject.
 *
 * The one place of uvolt that looks into structs of CPython (design.md, section 3). Nothing is linked and no
 * header of OpenSSL is needed: the functions come by dlsym() from the very library that _ssl is bound to, and
 * the place of the SSL pointer is verified at first use against four pointers that are known otherwise. Where
 * that fails (a static or foreign _ssl), openssl_api() is NULL and the engine drives MemoryBIO instead. */
#ifndef UVOLT_TLS_OPENSSL_H
#define UVOLT_TLS_OPENSSL_H

#include "runtime/state.h"

typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;
typedef struct bio_st BIO;
typedef struct bio_method_st BIO_METHOD;

/* Constants of OpenSSL's stable interface (1.1.1 to 3.x). */
enum {
    OPENSSL_ERROR_WANT_READ = 2,
    OPENSSL_ERROR_WANT_WRITE = 3,
    OPENSSL_ERROR_ZERO_RETURN = 6,
    OPENSSL_CTRL_MODE = 33,
    OPENSSL_MODE_RELEASE_BUFFERS = 0x10,
    OPENSSL_BIO_CTRL_PENDING = 10,
    OPENSSL_BIO_CTRL_FLUSH = 11,
    OPENSSL_BIO_RETRY_READ = 0x01 | 0x08, /* BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY */
    OPENSSL_BIO_ALL_RETRY = 0x07 | 0x08,
    OPENSSL_BIO_TYPE_SOURCE_SINK = 0x0400,
};

/* name, return type, arguments */
#define OPENSSL_FUNCTIONS(X)                                                                       \
    X(SSL_read, int, (SSL *, void *, int))                                                         \
    X(SSL_write, int, (SSL *, const void *, int))                                                  \
    X(SSL_has_pending, int, (const SSL *))                                                         \
    X(SSL_get_error, int, (const SSL *, int))                                                      \
    X(SSL_get_verify_result, long, (const SSL *))                                                  \
    X(SSL_get_SSL_CTX, SSL_CTX *, (const SSL *))                                                   \
    X(SSL_get_ex_data, void *, (const SSL *, int))                                                 \
    X(SSL_get_rbio, BIO *, (const SSL *))                                                          \
    X(SSL_get_wbio, BIO *, (const SSL *))                                                          \
    X(SSL_set_bio, void, (SSL *, BIO *, BIO *))                                                    \
    X(SSL_ctrl, long, (SSL *, int, long, void *))                                                  \
    X(BIO_meth_new, BIO_METHOD *, (int, const char *))                                             \
    X(BIO_meth_set_read, int, (BIO_METHOD *, int (*)(BIO *, char *, int)))                         \
    X(BIO_meth_set_write, int, (BIO_METHOD *, int (*)(BIO *, const char *, int)))                  \
    X(BIO_meth_set_ctrl, int, (BIO_METHOD *, long (*)(BIO *, int, long, void *)))                  \
    X(BIO_new, BIO *, (const BIO_METHOD *))                                                        \
    X(BIO_free, int, (BIO *))                                                                      \
    X(BIO_up_ref, int, (BIO *))                                                                    \
    X(BIO_set_init, void, (BIO *, int))                                                            \
    X(BIO_set_flags, void, (BIO *, int))                                                           \
    X(BIO_clear_flags, void, (BIO *, int))                                                         \
    X(ERR_clear_error, void, (void))                                                               \
    X(ERR_peek_error, unsigned long, (void))                                                       \
    X(ERR_peek_last_error, unsigned long, (void))                                                  \
    X(ERR_reason_error_string, const char *, (unsigned long))                                      \
    X(ERR_lib_error_string, const char *, (unsigned long))                                         \
    X(X509_verify_cert_error_string, const char *, (long))                                         \
    X(OpenSSL_version_num, unsigned long, (void))

typedef struct openssl_api {
#define X(name, result, args) result(*name) args;
    OPENSSL_FUNCTIONS(X)
#undef X
    BIO_METHOD *method;      /* raw: of the engine's BIOs, made by the engine; lives as long as they may */
    PyTypeObject *ssl_type;  /* strong: _ssl._SSLSocket */
    PyObject *object_type;   /* strong: ssl.SSLObject */
    /* strong: what wrap_bio() is given, never used. Two: of one BIO in both places _ssl lets a reference stay behind. */
    PyObject *incoming, *outgoing;
    Py_ssize_t ssl_offset;   /* of the SSL pointer in an _SSLSocket */
} openssl_api;

/* The functions; NULL if they cannot be had, with the reason in *why (a literal), or with an exception if
 * Python raised one. Found and verified at the first call. PYCALL. */
openssl_api *openssl_get(core_state *st, const char **why);
void openssl_release(core_state *st);

/* The SSL of an ssl.SSLObject (borrowed: lives as long as it does); NULL if it is of a type of its own. */
SSL *openssl_ssl_of(const openssl_api *api, PyObject *sslobj);

#endif
