/*
 * tls_record.h: protects the records of one TLS connection after its handshake (RFC 8446, 5; RFC 5246, 6.2.3.3).
 *
 * libssl does the handshake (connection/tls_handshake.h), gives the secrets, and is freed. A libssl connection takes
 * 14 KB while idle, allocates for each write, and copies each record twice. A struct tls_record is 200 bytes without
 * pointers; a record is sealed and opened in place, by libcrypto's ciphers. The contexts of the ciphers belong to the
 * shard, not to the connection: each record sets its key, which costs 0.2 us at most.
 *
 * TLS 1.3 and 1.2, with AES-GCM and ChaCha20-Poly1305. Sequence numbers begin at 0 for TLS 1.3 and at 1 for TLS 1.2,
 * whose Finished was number 0. Pure but for the contexts; one thread for each struct tls_ciphers.
 */
#ifndef CHITCHAT_PROTOCOL_TLS_RECORD_H
#define CHITCHAT_PROTOCOL_TLS_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLS_HEADER_BYTES 5u
/* What a sealed record has before its data (header, and the nonce of AES-GCM in TLS 1.2) and after it (type, tag). */
#define TLS_FRONT_BYTES 13u
#define TLS_BACK_BYTES 17u
#define TLS_DATA_BYTES_MAX 16384u
/* Largest length of a header: the data, and what the ciphers add. Records of the handshake stay below, too. */
#define TLS_BODY_BYTES_MAX (TLS_DATA_BYTES_MAX + 256u)
#define TLS_SECRET_BYTES_MAX 48u
#define TLS_MASTER_BYTES 48u
#define TLS_RANDOM_BYTES 32u

enum tls_type { TLS_CHANGE_CIPHER_SPEC = 20, TLS_ALERT = 21, TLS_HANDSHAKE = 22, TLS_DATA = 23 };

/* Alerts that this server sends or knows. */
enum tls_alert {
    TLS_CLOSE_NOTIFY = 0,
    TLS_UNEXPECTED_MESSAGE = 10,
    TLS_BAD_RECORD_MAC = 20,
    TLS_RECORD_OVERFLOW = 22,
    TLS_INTERNAL_ERROR = 80,
    TLS_USER_CANCELED = 90,
};

enum tls_suite { TLS_AES_128_GCM, TLS_AES_256_GCM, TLS_CHACHA20_POLY1305, TLS_SUITES };

/* The contexts of the ciphers, for all connections of a shard. */
struct tls_ciphers {
    struct evp_cipher_ctx_st *contexts[TLS_SUITES][2]; /* to open, to seal */
};

struct tls_direction {
    uint8_t key[32];
    uint8_t iv[12]; /* AES-GCM in TLS 1.2: 4 bytes */
    uint8_t suite;
    bool is_13;
    uint64_t sequence; /* of the next record */
    /* TLS 1.3: of the present keys. TLS 1.2 with AES-GCM, write: the first 8 bytes are the nonce of the next record. */
    uint8_t secret[TLS_SECRET_BYTES_MAX];
};

struct tls_record {
    struct tls_direction read;
    struct tls_direction write;
};

/* 0; or -ENOMEM: libcrypto lacks a cipher, or memory. tls_ciphers_close in either case. */
int tls_ciphers_open(struct tls_ciphers *ciphers);
/* A struct of zeros is fine. */
void tls_ciphers_close(struct tls_ciphers *ciphers);

/* The first application keys of a TLS 1.3 connection, of the server. The secrets have the bytes of the suite's hash: 32
 * or
 * 48. False: libcrypto failed. */
bool tls_record_init_13(struct tls_record *record, enum tls_suite suite, const uint8_t *client_secret,
                        const uint8_t *server_secret);
/* The keys of a TLS 1.2 connection, of the server. `nonce`: the 8 bytes that the server's Finished had in front of its
 * ciphertext (AES-GCM; else ignored); records continue from it, so that no nonce is used twice. */
bool tls_record_init_12(struct tls_record *record, enum tls_suite suite, const uint8_t master[TLS_MASTER_BYTES],
                        const uint8_t client_random[TLS_RANDOM_BYTES], const uint8_t server_random[TLS_RANDOM_BYTES],
                        const uint8_t nonce[8]);
/* The next keys of one direction, after a KeyUpdate. TLS 1.3 only (asserted). False: libcrypto failed. */
bool tls_direction_update(struct tls_direction *direction);
/* Whether a KeyUpdate should be sent: RFC 8446, 5.5 limits the records of one key. */
bool tls_direction_is_worn(const struct tls_direction *direction);

/* Seals `bytes` (TLS_DATA_BYTES_MAX at most) at `data` in place as a record of `type`. The caller owns TLS_FRONT_BYTES
 * before `data` and TLS_BACK_BYTES behind it. *front_r bytes before `data` and *back_r behind it belong to the record.
 * False: libcrypto failed, and the connection must be dropped. */
bool tls_seal(struct tls_ciphers *ciphers, struct tls_direction *direction, enum tls_type type, char *data,
              size_t bytes, size_t *front_r, size_t *back_r);

/* Bytes of the record whose header is at `data`, with the header; 0: `bytes` are less than a header. */
size_t tls_record_bytes(const char *data, size_t bytes);
/* Whether the first bytes of a header may be one of a record: a known type, version 3.x and a length within the limit.
 */
bool tls_header_is_good(const char *data, size_t bytes);
/* Opens a record of `bytes`, header included, in place. 0: *data_r and *bytes_r are its data, *type_r its type. Else
 * the enum tls_alert with which the connection must end. */
int tls_open(struct tls_ciphers *ciphers, struct tls_direction *direction, char *record, size_t bytes, uint8_t *type_r,
             char **data_r, size_t *bytes_r);

#endif
