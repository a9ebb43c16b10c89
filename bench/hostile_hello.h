/*
 * hostile_hello.h: the first record of a TLS handshake. Any thread.
 */
#ifndef CHITCHAT_BENCH_HOSTILE_HELLO_H
#define CHITCHAT_BENCH_HOSTILE_HELLO_H

#include "hostile_plan.h"

/* A ClientHello of TLS 1.3 with a key share, which a server answers with a signature: the bytes may begin any number of
 * connections. 0, -ENOMEM, or -EIO if libssl makes none. Free with hostile_bytes_free. */
int hostile_hello_build(struct hostile_bytes *hello_r);

#endif
