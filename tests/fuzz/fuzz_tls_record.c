/* Records of both directions of a connection after its handshake, with each cipher and version: a sealed record is
 * opened with its type and data; one with a changed byte, and any bytes that were not sealed, are refused. */
#include "fuzz.h"
#include "protocol/tls_record.h"

struct pair {
    struct tls_ciphers ciphers;
    struct tls_record server;
    struct tls_record client;
};

static void begin(struct pair *pair, enum tls_suite suite, bool is_13, struct span secret)
{
    uint8_t client[TLS_MASTER_BYTES] = {1}, server[TLS_MASTER_BYTES] = {2};
    bool is_good;
    ASSERT(secret.bytes <= sizeof client);
    if (secret.bytes > 0)
        memcpy(client, secret.data, secret.bytes);
    if (is_13)
        is_good = tls_record_init_13(&pair->server, suite, client, server);
    else
        is_good = tls_record_init_12(&pair->server, suite, client, server, server, client);
    ASSERT(is_good);
    pair->client = (struct tls_record){.read = pair->server.write, .write = pair->server.read};
}

/* A record of the client in memory of its own. The caller frees it. */
static char *seal(struct pair *pair, enum tls_type type, struct span data, size_t *bytes_r)
{
    size_t front, back;
    char *room = malloc(TLS_FRONT_BYTES + data.bytes + TLS_BACK_BYTES);
    ASSERT(room != NULL);
    if (data.bytes > 0)
        memcpy(room + TLS_FRONT_BYTES, data.data, data.bytes);
    ASSERT(tls_seal(&pair->ciphers, &pair->client.write, type, room + TLS_FRONT_BYTES, data.bytes, &front, &back));
    ASSERT(front <= TLS_FRONT_BYTES && back <= TLS_BACK_BYTES);
    *bytes_r = front + data.bytes + back;
    char *record = fuzz_copy(room + TLS_FRONT_BYTES - front, *bytes_r);
    free(room);
    ASSERT(tls_header_is_good(record, *bytes_r) && tls_record_bytes(record, *bytes_r) == *bytes_r);
    return record;
}

static void check_sealed(struct pair *pair, enum tls_type type, struct span data)
{
    size_t bytes, opened_bytes;
    uint8_t opened_type;
    char *opened, *record = seal(pair, type, data, &bytes);
    ASSERT(tls_open(&pair->ciphers, &pair->server.read, record, bytes, &opened_type, &opened, &opened_bytes) == 0);
    ASSERT(opened_type == type && span_equal(data, (struct span){opened, opened_bytes}));
    ASSERT(pair->server.read.sequence == pair->client.write.sequence);
    free(record);
}

/* The two bytes of the length are left: the caller of tls_open has read as many. */
static void check_changed(struct pair *pair, enum tls_type type, struct span data, size_t at, uint8_t change)
{
    size_t bytes, opened_bytes;
    uint8_t opened_type;
    char *opened, *record = seal(pair, type, data, &bytes);
    at %= bytes;
    if (change != 0 && at != 3 && at != 4) {
        record[at] = (char)(record[at] ^ change);
        ASSERT(tls_open(&pair->ciphers, &pair->server.read, record, bytes, &opened_type, &opened, &opened_bytes) != 0);
    }
    free(record);
}

static void check_any(struct pair *pair, struct span data)
{
    size_t opened_bytes;
    uint8_t opened_type;
    char *opened;
    bool is_good = tls_header_is_good(data.data, data.bytes);
    size_t bytes = tls_record_bytes(data.data, data.bytes);
    for (size_t cut = 0; is_good && cut < data.bytes && cut < TLS_HEADER_BYTES; cut++)
        ASSERT(tls_header_is_good(data.data, cut));
    if (bytes == 0 || bytes > data.bytes)
        return;
    char *record = fuzz_copy(data.data, bytes);
    ASSERT(tls_open(&pair->ciphers, &pair->server.read, record, bytes, &opened_type, &opened, &opened_bytes) != 0);
    free(record);
}

static void check_update(struct pair *pair)
{
    if (!pair->server.read.is_13)
        return;
    ASSERT(tls_direction_update(&pair->server.read) && tls_direction_update(&pair->client.write));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct pair pair;
    struct fuzz_input input = {data, bytes};
    if (pair.ciphers.contexts[0][0] == NULL)
        ASSERT(tls_ciphers_open(&pair.ciphers) == 0);
    uint8_t kind = (uint8_t)fuzz_number(&input, 1);
    begin(&pair, (enum tls_suite)(kind / 2 % TLS_SUITES), kind % 2 == 1, fuzz_span(&input, 4));
    while (input.bytes > 0) {
        uint8_t step = (uint8_t)fuzz_number(&input, 1);
        enum tls_type type = (enum tls_type)(TLS_CHANGE_CIPHER_SPEC + step / 4 % 4);
        size_t at = step % 4 == 1 ? (size_t)fuzz_number(&input, 2) : 0;
        uint8_t change = step % 4 == 1 ? (uint8_t)fuzz_number(&input, 1) : 0;
        struct span part = fuzz_span(&input, step % 4 == 3 ? 0 : fuzz_number(&input, 2) % (TLS_DATA_BYTES_MAX + 1));
        switch (step % 4) {
        case 0: check_sealed(&pair, type, part); break;
        case 1: check_changed(&pair, type, part, at, change); return 0;
        case 2: check_any(&pair, part); return 0;
        default: check_update(&pair);
        }
    }
    return 0;
}
