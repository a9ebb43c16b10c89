#include "hostile_hello.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

/* What a client of libssl writes first. */
static int copy_first_flight(SSL *ssl, struct hostile_bytes *hello_r)
{
    char *data = NULL;
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    if (in == NULL || out == NULL) {
        BIO_free(in);
        BIO_free(out);
        return -ENOMEM;
    }
    SSL_set_bio(ssl, in, out); /* owns both */
    SSL_set_connect_state(ssl);
    (void)SSL_do_handshake(ssl);
    long bytes = BIO_get_mem_data(out, &data);
    if (bytes <= 0)
        return -EIO;
    hello_r->data = malloc((size_t)bytes);
    if (hello_r->data == NULL)
        return -ENOMEM;
    memcpy(hello_r->data, data, (size_t)bytes);
    hello_r->bytes = hello_r->unit_bytes = (size_t)bytes;
    return 0;
}

int hostile_hello_build(struct hostile_bytes *hello_r)
{
    *hello_r = (struct hostile_bytes){.data = NULL};
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = context == NULL ? NULL : SSL_new(context);
    int status = ssl == NULL ? -ENOMEM : copy_first_flight(ssl, hello_r);
    SSL_free(ssl);
    SSL_CTX_free(context);
    return status;
}
